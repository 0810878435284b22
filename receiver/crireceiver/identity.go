package crireceiver

import (
	"cmp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"go.opentelemetry.io/collector/pdata/pcommon"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

// The labels that the kubelet gives to sandboxes and containers (k8s.io/kubelet/pkg/types/labels.go).
const (
	labelPod       = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelUID       = "io.kubernetes.pod.uid"
	labelContainer = "io.kubernetes.container.name"
)

// maxText bounds each text that is taken over from the runtime (bytes); more is cut off.
const maxText = 1024

// cut bounds a text.
func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// pod is whom a sandbox belongs to.
type pod struct{ uid, name, namespace string }

func podOf(labels map[string]string, m *cri.PodSandboxMetadata) pod {
	return pod{
		uid:       cut(cmp.Or(labels[labelUID], m.GetUid())),
		name:      cut(cmp.Or(labels[labelPod], m.GetName())),
		namespace: cut(cmp.Or(labels[labelNamespace], m.GetNamespace())),
	}
}

// identity is what an id of a container stands for.
type identity struct {
	id, name string
	// restarts is how often the container of that name was started anew in its pod before this one.
	restarts uint32
	pod      pod
	image    image
}

// image is what a container was made of.
type image struct{ id, name, tag string }

// imageOf reads what an image is called. Whoever asks for a container names its image as the user does, by a digest, or by its
// id; then names, those that the runtime has for the id, tell it. What nobody tells is empty.
func imageOf(spec *cri.ImageSpec, id string, names ...string) image {
	i := image{id: cut(id)}
	for _, text := range append([]string{spec.GetUserSpecifiedImage(), spec.GetImage()}, names...) {
		if strings.HasPrefix(text, "sha256:") {
			continue // an id
		}
		named, err := reference.ParseNormalizedNamed(cut(text))
		if err != nil {
			continue
		}
		i.name = reference.FamiliarName(named)
		if tagged, ok := named.(reference.Tagged); ok {
			i.tag = tagged.Tag()
		}
		break
	}
	return i
}

// put writes the identity as resource attributes.
func (i identity) put(rb *metadata.ResourceBuilder, runtime string) pcommon.Resource {
	set := func(put func(string), text string) {
		if text != "" {
			put(text)
		}
	}
	set(rb.SetContainerID, i.id)
	set(rb.SetContainerRuntimeName, runtime)
	set(rb.SetContainerImageID, i.image.id)
	set(rb.SetContainerImageName, i.image.name)
	if i.image.tag != "" {
		rb.SetContainerImageTags([]any{i.image.tag})
	}
	if i.name != "" {
		set(rb.SetK8sContainerName, i.name)
		rb.SetK8sContainerRestartCount(int64(i.restarts))
	}
	set(rb.SetK8sPodUID, i.pod.uid)
	set(rb.SetK8sPodName, i.pod.name)
	set(rb.SetK8sNamespaceName, i.pod.namespace)
	return rb.Emit()
}

// names are the names of the images that a runtime has, by id: the first tag and the first digest of each.
type names map[string][]string

func namesOf(images []*cri.Image, most int) names {
	if len(images) > most { // the same ones each time
		images = slices.Clone(images)
		slices.SortFunc(images, func(a, b *cri.Image) int { return cmp.Compare(a.GetId(), b.GetId()) })
	}
	n := make(names, min(len(images), most))
	for _, i := range images {
		if len(n) >= most {
			break
		}
		n[i.GetId()] = nil
		for _, list := range [][]string{i.GetRepoTags(), i.GetRepoDigests()} {
			if len(list) > 0 {
				n[i.GetId()] = append(n[i.GetId()], list[0])
			}
		}
	}
	return n
}

// identify reads who a container is. Its pod is its sandbox's where its own labels do not tell it.
func identify(c *cri.Container, of pod, n names) identity {
	who := identity{
		id: c.GetId(), restarts: c.GetMetadata().GetAttempt(),
		name: cut(cmp.Or(c.GetLabels()[labelContainer], c.GetMetadata().GetName())),
		pod:  podOf(c.GetLabels(), nil),
	}
	who.pod = pod{uid: cmp.Or(who.pod.uid, of.uid), name: cmp.Or(who.pod.name, of.name), namespace: cmp.Or(who.pod.namespace, of.namespace)}
	id := cmp.Or(c.GetImageId(), c.GetImageRef(), c.GetImage().GetImage())
	who.image = imageOf(c.GetImage(), id, n[id]...)
	return who
}

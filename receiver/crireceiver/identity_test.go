package crireceiver

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const digest = "0f32894de86edf3d3832702af794874ef8d400b4969acdea4976b12040756e0d"

// What an image is called, as runtimes and the kubelet name it.
func TestImage(t *testing.T) {
	for name, c := range map[string]struct {
		spec  *cri.ImageSpec
		names []string
		want  image
	}{
		"as its user names it":     {&cri.ImageSpec{Image: "sha256:" + digest, UserSpecifiedImage: "quay.io/shop/api:1.4"}, nil, image{name: "quay.io/shop/api", tag: "1.4"}},
		"by its name":              {&cri.ImageSpec{Image: "nginx:1.27"}, nil, image{name: "nginx", tag: "1.27"}},
		"of Docker's registry":     {&cri.ImageSpec{Image: "docker.io/library/nginx:1.27"}, nil, image{name: "nginx", tag: "1.27"}},
		"a registry with a port":   {&cri.ImageSpec{Image: "registry:5000/a/b:c"}, nil, image{name: "registry:5000/a/b", tag: "c"}},
		"by a digest":              {&cri.ImageSpec{Image: "quay.io/shop/api@sha256:" + digest}, nil, image{name: "quay.io/shop/api"}},
		"by name, tag and digest":  {&cri.ImageSpec{Image: "quay.io/shop/api:2@sha256:" + digest}, nil, image{name: "quay.io/shop/api", tag: "2"}},
		"by its id":                {&cri.ImageSpec{Image: "sha256:" + digest}, []string{"quay.io/shop/api:1.4"}, image{name: "quay.io/shop/api", tag: "1.4"}},
		"by its id, as CRI-O does": {&cri.ImageSpec{Image: digest}, []string{"quay.io/shop/api:1.4"}, image{name: "quay.io/shop/api", tag: "1.4"}},
		"by an id that is unknown": {&cri.ImageSpec{Image: digest}, nil, image{}},
		"nonsense":                 {&cri.ImageSpec{Image: "::::"}, []string{"", "//"}, image{}},
		"nothing":                  {nil, nil, image{}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, imageOf(c.spec, "", c.names...))
		})
	}
}

// Who a container is stands in the kubelet's labels; who makes containers without them (crictl) still says whose they are.
func TestIdentify(t *testing.T) {
	of := pod{uid: "u1", name: "api-1", namespace: "shop"}
	plain := &cri.Container{Id: "c1", Metadata: &cri.ContainerMetadata{Name: "api", Attempt: 2}}
	assert.Equal(t, identity{id: "c1", name: "api", restarts: 2, pod: of}, identify(plain, of, nil))
	labelled := &cri.Container{Id: "c1", Metadata: &cri.ContainerMetadata{Name: "k8s_api"}, ImageRef: "i1",
		Labels: map[string]string{labelPod: "api-1", labelNamespace: "shop", labelUID: "u1", labelContainer: "api"}}
	assert.Equal(t, identity{id: "c1", name: "api", pod: of, image: image{id: "i1", name: "nginx", tag: "1"}},
		identify(labelled, pod{}, names{"i1": {"nginx:1"}}))
	assert.Equal(t, identity{}, identify(&cri.Container{}, pod{}, nil))
	assert.Len(t, identify(&cri.Container{Labels: map[string]string{labelPod: strings.Repeat("é", maxText)}}, pod{}, nil).pod.name, maxText)
}

func TestSignalOf(t *testing.T) {
	for code, want := range map[int32]string{0: "", 1: "", 128: "", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM", 255: "", -9: ""} {
		assert.Equal(t, want, signalOf(code), code)
	}
}

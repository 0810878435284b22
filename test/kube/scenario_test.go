package kube

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// resources are those of the kinds in the scenarios; scoped says whether they are in a namespace.
var resources = map[string]struct {
	schema.GroupVersionResource
	scoped bool
}{
	"Pod":                            {schema.GroupVersionResource{Version: "v1", Resource: "pods"}, true},
	"Node":                           {schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, false},
	"Service":                        {schema.GroupVersionResource{Version: "v1", Resource: "services"}, true},
	"EndpointSlice":                  {schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}, true},
	"Secret":                         {schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, true},
	"ConfigMap":                      {schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, true},
	"Event":                          {schema.GroupVersionResource{Version: "v1", Resource: "events"}, true},
	"ResourceQuota":                  {schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}, true},
	"PersistentVolumeClaim":          {schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}, true},
	"PersistentVolume":               {schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}, false},
	"LimitRange":                     {schema.GroupVersionResource{Version: "v1", Resource: "limitranges"}, true},
	"Deployment":                     {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, true},
	"StatefulSet":                    {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, true},
	"DaemonSet":                      {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, true},
	"Job":                            {schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, true},
	"CronJob":                        {schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}, true},
	"StorageClass":                   {schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}, false},
	"Ingress":                        {schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}, true},
	"IngressClass":                   {schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"}, false},
	"NetworkPolicy":                  {schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}, true},
	"APIService":                     {schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}, false},
	"PodDisruptionBudget":            {schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, true},
	"HorizontalPodAutoscaler":        {schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, true},
	"CertificateSigningRequest":      {schema.GroupVersionResource{Group: "certificates.k8s.io", Version: "v1", Resource: "certificatesigningrequests"}, false},
	"CustomResourceDefinition":       {schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, false},
	"GatewayClass":                   {schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}, false},
	"Gateway":                        {schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}, true},
	"HTTPRoute":                      {schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}, true},
	"ValidatingWebhookConfiguration": {schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}, false},
}

var (
	pods       = resources["Pod"].GroupVersionResource
	events     = resources["Event"].GroupVersionResource
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// read reads the objects of a file. `ago` writes a time before now; templates.txt has what many scenarios have.
func read(t *testing.T, file string) []unstructured.Unstructured {
	text, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	ago := func(d string) (string, error) {
		by, err := time.ParseDuration(d)
		return time.Now().Add(-by).UTC().Format(time.RFC3339), err
	}
	list := func(all ...any) []any { return all }
	tmpl, err := template.New(file).Funcs(template.FuncMap{"ago": ago, "list": list, "request": request, "certificate": certificate}).ParseFiles("testdata/templates.txt")
	require.NoError(t, err)
	_, err = tmpl.Parse(string(text))
	require.NoError(t, err)
	var filled bytes.Buffer
	require.NoError(t, tmpl.Execute(&filled, nil))
	var all []unstructured.Unstructured
	for i, doc := range strings.Split(filled.String(), "\n---\n") {
		o := unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(doc), &o.Object), "%s, document %d", file, i)
		all = append(all, o)
	}
	return all
}

// request is a request for a certificate, and certificate a key pair whose certificate is valid for a time, as Secrets have them.
func request() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "n3"}}, key)
	return inPEM("CERTIFICATE REQUEST", der), err
}

func certificate(valid string) (string, error) {
	left, err := time.ParseDuration(valid)
	if err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-87 * 24 * time.Hour), NotAfter: time.Now().Add(left), DNSNames: []string{"shop.example"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return "", err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	return fmt.Sprintf("{tls.crt: %s, tls.key: %s}", inPEM("CERTIFICATE", der), inPEM("EC PRIVATE KEY", secret)), err
}

func inPEM(kind string, der []byte) string {
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// apply makes the objects of a scenario, in order, in a namespace of its name; the labels of one may be in its file. What is there
// already is changed; what has the annotation `deleted` is deleted at the end. Kind Kubelet is no object, but what a kubelet says: of
// all pods with these labels, this status, and events about them. Kind Status is played by `replay`.
func (c *Cluster) apply(ctx context.Context, t *testing.T, name string) {
	all := read(t, name+".yaml")
	name = path.Base(name)
	space := unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	for _, o := range all {
		if o.GetKind() == "Namespace" {
			space.SetLabels(o.GetLabels())
		}
	}
	_, err := c.API.Resource(namespaces).Create(ctx, &space, metav1.CreateOptions{})
	require.NoError(t, err)
	var deleted []unstructured.Unstructured
	for _, o := range all {
		switch o.GetKind() {
		case "Namespace", "Status":
		case "Kubelet":
			c.play(ctx, t, name, o)
		default:
			c.create(ctx, t, name, o)
			if o.GetAnnotations()["deleted"] != "" {
				deleted = append(deleted, o)
			}
		}
	}
	for _, o := range deleted {
		grace := int64(0)
		require.NoError(t, c.of(o, name).Delete(ctx, o.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &grace}))
	}
}

// replay sets the status of objects that a controller would write if it had what it lacks here: metrics.
func (c *Cluster) replay(ctx context.Context, t *testing.T, name string) {
	for _, o := range read(t, name+".yaml") {
		if o.GetKind() != "Status" {
			continue
		}
		kind, _, _ := unstructured.NestedString(o.Object, "of")
		r, known := resources[kind]
		require.True(t, known, "kind %s", kind)
		status, err := json.Marshal(map[string]any{"status": o.Object["status"]})
		require.NoError(t, err)
		_, err = c.API.Resource(r.GroupVersionResource).Namespace(name).Patch(ctx, o.GetName(), types.MergePatchType, status, metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	}
}

// of is the API for the kind of an object.
func (c *Cluster) of(o unstructured.Unstructured, namespace string) dynamic.ResourceInterface {
	r := resources[o.GetKind()]
	if r.scoped {
		return c.API.Resource(r.GroupVersionResource).Namespace(namespace)
	}
	return c.API.Resource(r.GroupVersionResource)
}

func (c *Cluster) create(ctx context.Context, t *testing.T, namespace string, o unstructured.Unstructured) {
	r, known := resources[o.GetKind()]
	require.True(t, known, "kind %s", o.GetKind())
	api := c.of(o, namespace)
	if r.scoped {
		o.SetNamespace(namespace)
	}
	status, has := o.Object["status"]
	made, err := api.Create(ctx, &o, metav1.CreateOptions{})
	for i := 0; apierrors.IsNotFound(err) && i < 100; i++ { // a kind that was made a moment ago is not served at once
		time.Sleep(100 * time.Millisecond)
		made, err = api.Create(ctx, &o, metav1.CreateOptions{})
	}
	if apierrors.IsAlreadyExists(err) {
		change, err := json.Marshal(o.Object)
		require.NoError(t, err)
		_, err = api.Patch(ctx, o.GetName(), types.MergePatchType, change, metav1.PatchOptions{})
		require.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
		return
	}
	require.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
	for has {
		made.Object["status"] = status
		if _, err = api.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err == nil {
			return
		}
		require.ErrorContains(t, err, "the object has been modified", "%s %s", o.GetKind(), o.GetName())
		made, err = api.Get(ctx, o.GetName(), metav1.GetOptions{})
		require.NoError(t, err)
	}
}

// play lets all pods with some labels have a status, once there are as many as asked for and the scheduler has given each a node.
func (c *Cluster) play(ctx context.Context, t *testing.T, namespace string, k unstructured.Unstructured) {
	labels, _, _ := unstructured.NestedString(k.Object, "labels")
	want, _, _ := unstructured.NestedFloat64(k.Object, "pods")
	if n, ok, _ := unstructured.NestedInt64(k.Object, "pods"); ok {
		want = float64(n)
	}
	var found *unstructured.UnstructuredList
	require.Eventually(t, func() bool {
		var err error
		found, err = c.API.Resource(pods).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels})
		require.NoError(t, err)
		bound := 0
		for _, p := range found.Items {
			if node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName"); node != "" {
				bound++
			}
		}
		return float64(bound) >= max(want, 1)
	}, time.Minute, 100*time.Millisecond, "%s: the scheduler has bound no pod with %s", namespace, labels)
	for i := range found.Items {
		p := &found.Items[i]
		if node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName"); node == "" {
			continue // no kubelet knows it
		}
		status, _, _ := unstructured.NestedMap(k.Object, "status")
		for {
			merged, _, _ := unstructured.NestedMap(p.Object, "status")
			for key, v := range status {
				if key != "conditions" {
					merged[key] = v
					continue
				}
				// Those of the scheduler stay.
				for _, old := range asList(merged["conditions"]) {
					if old.(map[string]any)["type"] == "PodScheduled" {
						old.(map[string]any)["lastTransitionTime"] = time.Now().Add(-5 * time.Minute).UTC().Format(time.RFC3339)
						v = append(asList(v), old)
					}
				}
				merged[key] = v
			}
			p.Object["status"] = merged
			_, err := c.API.Resource(pods).Namespace(namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
			if err == nil {
				break
			}
			require.ErrorContains(t, err, "the object has been modified")
			p, err = c.API.Resource(pods).Namespace(namespace).Get(ctx, p.GetName(), metav1.GetOptions{})
			require.NoError(t, err)
		}
		said, _, _ := unstructured.NestedSlice(k.Object, "events")
		for n, e := range said {
			ev := unstructured.Unstructured{Object: e.(map[string]any)}
			ev.SetAPIVersion("v1")
			ev.SetKind("Event")
			ev.SetName(fmt.Sprintf("%s.%d", p.GetName(), n))
			ev.SetNamespace(namespace)
			about, _, _ := unstructured.NestedMap(ev.Object, "involvedObject")
			if about == nil {
				about = map[string]any{}
			}
			about["kind"], about["namespace"], about["name"], about["uid"] = "Pod", namespace, p.GetName(), string(p.GetUID())
			ev.Object["involvedObject"] = about
			_, err := c.API.Resource(events).Namespace(namespace).Create(ctx, &ev, metav1.CreateOptions{})
			require.NoError(t, err)
		}
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// Package kube looks at a Kubernetes cluster with nothing but a kubeconfig: it lists what it may, and lets the correlation engine
// say what is wrong.
package kube

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/your-org/tapio/internal/version"
)

// Options say which cluster, and as whom.
type Options struct {
	// Kubeconfig names a file; empty: those that KUBECONFIG lists, then ~/.kube/config, then the pod's own service account.
	Kubeconfig string
	// Context is a context of the kubeconfig; empty: the current one.
	Context string
	// Timeout is for one request.
	Timeout time.Duration
	Getenv  func(string) string
}

// ErrNoConfig says that nothing names a cluster.
var ErrNoConfig = errors.New("there is no kubeconfig")

// nowhere is ErrNoConfig with what was looked at.
func (o Options) nowhere() error {
	list := o.Getenv("KUBECONFIG")
	switch {
	case o.Kubeconfig != "":
		return fmt.Errorf("%w: %s names no cluster", ErrNoConfig, o.Kubeconfig)
	case list != "":
		return fmt.Errorf("%w: KUBECONFIG is %q, and no file there names a cluster", ErrNoConfig, list)
	case o.Context != "":
		return fmt.Errorf("%w that has the context %q: no KUBECONFIG, and no ~/.kube/config", ErrNoConfig, o.Context)
	}
	return fmt.Errorf("%w: no KUBECONFIG, no ~/.kube/config, and this is no pod", ErrNoConfig)
}

// Client reads a cluster's API.
type Client struct {
	place
	api rest.Interface
	// types are those that come as protobuf.
	types *runtime.Scheme
	// timeout is for one answer.
	timeout time.Duration
	// http and base are for what the API server passes on to services.
	http *http.Client
	base string
}

func (c *Client) String() string { return c.name }

// Context is the kubeconfig's name of the cluster; empty within a pod.
func (c *Client) Context() string { return c.context }

// Timeout is for one answer.
func (c *Client) Timeout() time.Duration { return c.timeout }

// Scope is the namespace that a query of a namespace means: that of the context where it names none, unless all are asked for. Empty
// means all.
func (c *Client) Scope(namespace string, all bool) string {
	if namespace == "" && !all {
		return c.namespace
	}
	return namespace
}

// Contexts are the names of the contexts of the kubeconfig, in order; none where there is no kubeconfig that can be read.
func Contexts(o Options) []string {
	raw, err := o.load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(raw.Contexts))
}

// load reads the kubeconfig.
func (o Options) load() (*api.Config, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig}
	if o.Kubeconfig == "" {
		rules.Precedence = filepath.SplitList(o.Getenv("KUBECONFIG"))
		if home := o.Getenv("HOME"); len(rules.Precedence) == 0 && home != "" {
			rules.Precedence = []string{filepath.Join(home, ".kube", "config")}
		} else if profile := o.Getenv("USERPROFILE"); len(rules.Precedence) == 0 && profile != "" {
			rules.Precedence = []string{filepath.Join(profile, ".kube", "config")}
		}
	}
	raw, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return raw, nil
}

// place is where a cluster is named.
type place struct {
	// name is for messages, context the kubeconfig's name of the cluster; empty within a pod.
	name, context string
	// namespace is the context's own; empty where it names none.
	namespace string
}

// RESTConfig is how the API server that Options name is reached. It asks it nothing.
func (o Options) RESTConfig() (*rest.Config, error) {
	config, _, err := o.find()
	return config, err
}

// find finds the cluster and the credentials.
func (o Options) find() (*rest.Config, place, error) {
	raw, err := o.load()
	switch {
	case err != nil:
		return nil, place{}, err
	case len(raw.Clusters) > 0, len(raw.Contexts) > 0 && o.Context != "":
		return choose(raw, o.Context)
	case o.Context == "" && o.Getenv("KUBERNETES_SERVICE_HOST") != "":
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, place{}, fmt.Errorf("use the pod's service account: %w", err)
		}
		return config, place{name: "the cluster of this pod"}, nil
	}
	return nil, place{}, o.nowhere()
}

// Connect finds the cluster and the credentials. It does not ask the API server anything yet.
func Connect(o Options) (*Client, error) {
	config, at, err := o.find()
	if err != nil {
		return nil, err
	}
	c := &Client{place: at, timeout: o.Timeout} // not the connection's: a watch may last
	config.QPS = -1                             // a few hundred requests, all of which are wanted at once; the server has its own fairness
	config.UserAgent = "tapio/" + version.Get().Version
	config.WarningHandler = rest.NoWarnings{}
	config.AcceptContentTypes, config.ContentType = protobufElse, protobuf
	if c.types, err = known(); err != nil {
		return nil, fmt.Errorf("know the API's types: %w", err)
	}
	config.NegotiatedSerializer = codecs(c.types)
	u, _, err := rest.DefaultServerUrlFor(config)
	if err == nil {
		c.base = strings.TrimSuffix(u.String(), "/")
		c.http, err = rest.HTTPClientFor(config)
	}
	if err == nil {
		c.api, err = rest.UnversionedRESTClientForConfigAndClient(config, c.http)
	}
	if err != nil {
		return nil, fmt.Errorf("use the kubeconfig: %w", err)
	}
	return c, nil
}

// choose takes a context of a kubeconfig.
func choose(raw *api.Config, name string) (*rest.Config, place, error) {
	if name == "" {
		name = raw.CurrentContext
	}
	context, ok := raw.Contexts[name]
	switch {
	case !ok && name == "":
		return nil, place{}, errors.New("the kubeconfig has no current context: name one with --context, or `kubectl config use-context`")
	case !ok:
		return nil, place{}, fmt.Errorf("the kubeconfig has no context %q: `kubectl config get-contexts` lists them", name)
	case raw.Clusters[context.Cluster] == nil:
		return nil, place{}, fmt.Errorf("use context %q of the kubeconfig: it names the cluster %q, which is not there", name, context.Cluster)
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*raw, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, place{}, fmt.Errorf("use context %q of the kubeconfig: %w", name, err)
	}
	at := place{name: "cluster " + name, context: name, namespace: context.Namespace}
	if u, err := url.Parse(config.Host); err == nil && u.Host != "" {
		at.name += " (" + u.Host + ")"
	}
	return config, at, nil
}

package kubernetesreceiver

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/your-org/tapio/internal/kube"
	"github.com/your-org/tapio/internal/version"
)

// Config is the configuration of the Kubernetes receiver.
type Config struct {
	// Kubeconfig names a file; empty: those of KUBECONFIG, ~/.kube/config or, where there is none, the pod's service account.
	Kubeconfig string `mapstructure:"kubeconfig"`
	// Context is a context of the kubeconfig; empty: its current one.
	Context string `mapstructure:"context"`
	// Resources are what is watched; empty: what Tapio's patterns need.
	Resources []Resource `mapstructure:"resources"`
	// Namespaces are those that are watched; empty: all.
	Namespaces []string `mapstructure:"namespaces"`
	// LeaderElector is an extension that says whether this collector is the one to watch; none: it is.
	LeaderElector *component.ID `mapstructure:"k8s_leader_elector"`
	// RelistInterval is how often everything is listed anew although no watch asks for it.
	RelistInterval time.Duration `mapstructure:"relist_interval"`
	// SilentAfter is how long a watch may bring nothing, not even the API server's bookmarks, before it is renewed.
	SilentAfter time.Duration `mapstructure:"silent_after"`
	// RequestTimeout bounds the answer to one request: a page of a list.
	RequestTimeout time.Duration `mapstructure:"request_timeout"`
	// PageSize is how many objects are asked for at a time.
	PageSize int64 `mapstructure:"page_size"`
	// MaxObjects bounds the objects of each resource; more are dropped, and counted.
	MaxObjects int `mapstructure:"max_objects"`
}

// Resource is a kind of objects.
type Resource struct {
	Group   string `mapstructure:"group"`
	Version string `mapstructure:"version"`
	// Name is the plural name, such as pods.
	Name string `mapstructure:"name"`
	// ClusterScoped says that its objects are in no namespace.
	ClusterScoped bool `mapstructure:"cluster_scoped"`
	// FieldSelectors choose objects; those that any of them chooses are watched. Empty: all.
	FieldSelectors []string `mapstructure:"field_selectors"`
}

func (r Resource) id() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name}
}

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		RelistInterval: 30 * time.Minute,
		SilentAfter:    3 * time.Minute,
		RequestTimeout: time.Minute,
		PageSize:       500,
		MaxObjects:     100_000,
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		field        string
		value, least time.Duration
	}{{"relist_interval", c.RelistInterval, time.Minute}, {"silent_after", c.SilentAfter, time.Second}, {"request_timeout", c.RequestTimeout, time.Second}} {
		if d.value < d.least {
			errs = append(errs, fmt.Errorf("%s is %s, want at least %s", d.field, d.value, d.least))
		}
	}
	if c.PageSize < 1 {
		errs = append(errs, fmt.Errorf("page_size is %d, want at least 1", c.PageSize))
	}
	if c.MaxObjects < 1 {
		errs = append(errs, fmt.Errorf("max_objects is %d, want at least 1", c.MaxObjects))
	}
	for i, r := range c.Resources {
		if r.Name == "" || r.Version == "" {
			errs = append(errs, fmt.Errorf("resources[%d] has name %q and version %q, want both, such as pods and v1", i, r.Name, r.Version))
		}
		for j, s := range r.FieldSelectors {
			if _, err := fields.ParseSelector(s); err != nil {
				errs = append(errs, fmt.Errorf("resources[%d].field_selectors[%d]: %w", i, j, err))
			}
		}
	}
	for i, n := range c.Namespaces {
		if n == "" {
			errs = append(errs, fmt.Errorf("namespaces[%d] is empty, want a name; leave the list out for all", i))
		}
	}
	return errors.Join(errs...)
}

// resources are those that are watched.
func (c *Config) resources() []Resource {
	if len(c.Resources) > 0 {
		return c.Resources
	}
	var all []Resource
	for _, k := range kube.Kinds() {
		all = append(all, Resource{Group: k.Group, Version: k.Version, Name: k.Resource, ClusterScoped: !k.Namespaced, FieldSelectors: k.Fields})
	}
	return all
}

// client is how the API server is reached. It does not ask it anything.
func (c *Config) client() (*rest.Config, error) {
	config, err := kube.Options{Kubeconfig: c.Kubeconfig, Context: c.Context, Getenv: os.Getenv}.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // a handful of watches; the server has its own fairness
	config.UserAgent = "tapio-collector/" + version.Get().Version
	return config, nil
}

package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// serviceName is the name of a collector's service, and the value of its label app.kubernetes.io/name.
	serviceName  = "tapio"
	serviceLabel = "app.kubernetes.io/name=" + serviceName
	// portName and port are those under which a collector serves findings.
	portName = "findings"
	port     = 4320
)

// ErrNoService says that the cluster has no collector's service.
var ErrNoService = errors.New("the cluster has no service of a Tapio collector")

// Service is a service that is reached through the API server, with the user's own rights and no port forwarded.
type Service struct {
	// Name is for messages.
	Name string
	// Base is the address under which the API server passes requests on to the service, without a slash at the end.
	Base   string
	Client *http.Client
}

// Collector finds the service of a collector: `tapio` in the namespace or, where there is none, the one of any namespace that has the
// label app.kubernetes.io/name=tapio.
func (c *Client) Collector(ctx context.Context, namespace string) (Service, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	s := &corev1.Service{}
	err := c.api.Get().AbsPath("/api/v1/namespaces", namespace, "services", serviceName).Do(ctx).Into(s)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		list := &corev1.ServiceList{}
		services := kind{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "services"}}
		switch labelled := c.request(services, "", metav1.ListOptions{LabelSelector: serviceLabel}).Do(ctx).Into(list); {
		case labelled == nil && len(list.Items) > 0:
			s, err = &list.Items[0], nil
		case labelled == nil, apierrors.IsNotFound(err), apierrors.IsForbidden(labelled):
			return Service{}, ErrNoService // or it is one that this user may not see, as most that may see little have none
		}
	}
	if err != nil {
		return Service{}, fmt.Errorf("look for the service %s/%s: %w", namespace, serviceName, err)
	}
	at, err := findings(s)
	if err != nil {
		return Service{}, fmt.Errorf("service %s/%s: %w", s.Namespace, s.Name, err)
	}
	client := *c.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return Service{Name: fmt.Sprintf("the collector %s/%s of %s", s.Namespace, s.Name, c), Client: &client,
		Base: fmt.Sprintf("%s/api/v1/namespaces/%s/services/%s/proxy", c.base, url.PathEscape(s.Namespace), url.PathEscape(at))}, nil
}

// findings is a service's port for findings, as the API server wants it named: [https:]name:port.
func findings(s *corev1.Service) (string, error) {
	ports := s.Spec.Ports
	i := slices.IndexFunc(ports, func(p corev1.ServicePort) bool { return p.Name == portName })
	if i < 0 {
		i = slices.IndexFunc(ports, func(p corev1.ServicePort) bool { return p.Port == port })
	}
	if i < 0 {
		return "", fmt.Errorf("it has no port named %s and no port %d", portName, port)
	}
	name := s.Name + ":" + strconv.Itoa(int(ports[i].Port))
	if p := ports[i].AppProtocol; p != nil && *p == "https" {
		name = "https:" + name
	}
	return name, nil
}

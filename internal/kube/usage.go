package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/finding"
)

// layerMetrics is the name under which coverage speaks of metrics.k8s.io.
const layerMetrics finding.Layer = "metrics"

// podMetrics is what is read of a PodMetrics of metrics.k8s.io/v1beta1, which comes as JSON: its Go types would be one more module.
type podMetrics struct {
	Metadata   struct{ Name, Namespace string }
	Timestamp  time.Time
	Containers []struct {
		Name  string
		Usage struct{ CPU, Memory resource.Quantity }
	}
}

// usage asks what containers use now, where the cluster serves that. It returns what to say of it.
func (c *Client) usage(ctx context.Context, namespace string) ([]podMetrics, finding.Coverage) {
	path := []string{"/apis/metrics.k8s.io/v1beta1"}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// A server behind the API server that does not answer is not waited for by asking again.
	body, err := c.api.Get().AbsPath(append(path, "pods")...).SetHeader("Accept", "application/json").MaxRetries(0).Do(ctx).Raw()
	var all []podMetrics
	if err == nil {
		all, err = metrics(body)
	}
	covered := finding.Coverage{Layer: layerMetrics, State: finding.CoverageOK}
	switch {
	case err == nil:
	case apierrors.IsNotFound(err):
		covered.State, covered.Reason = finding.CoverageAbsent, "metrics.k8s.io is not served: there is no metrics-server"
	case apierrors.IsForbidden(err):
		covered.State, covered.Reason = finding.CoverageAbsent, "you may not list pods.metrics.k8s.io"
	default:
		covered.State, covered.Reason = finding.CoverageDegraded, fmt.Sprintf("metrics.k8s.io does not answer: %v", err)
	}
	return all, covered
}

// metrics reads a PodMetricsList.
func metrics(body []byte) ([]podMetrics, error) {
	var list struct{ Items []podMetrics }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	return list.Items, nil
}

// use takes what containers use into a view.
func use(view *objects.Cluster, all []podMetrics) {
	for _, p := range all {
		for _, m := range p.Containers {
			view.Used(p.Metadata.Namespace, p.Metadata.Name, m.Name,
				objects.Usage{At: p.Timestamp, CPU: m.Usage.CPU.AsApproximateFloat64(), Memory: m.Usage.Memory.AsApproximateFloat64()})
		}
	}
}

package kube

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// records makes of objects what the k8sobjects receiver makes of them when it pulls (receiver/k8sobjectsreceiver/
// unstructured_to_logdata.go): a log record each, the object as body, grouped by namespace.
func records(resource string, objects []unstructured.Unstructured, now time.Time) (plog.Logs, error) {
	ld := plog.NewLogs()
	spaces := map[string]plog.LogRecordSlice{}
	for i := range objects {
		namespace := objects[i].GetNamespace()
		space, ok := spaces[namespace]
		if !ok {
			rl := ld.ResourceLogs().AppendEmpty()
			if namespace != "" {
				rl.Resource().Attributes().PutStr("k8s.namespace.name", namespace)
			}
			space = rl.ScopeLogs().AppendEmpty().LogRecords()
			spaces[namespace] = space
		}
		r := space.AppendEmpty()
		r.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
		r.Attributes().PutStr("k8s.resource.name", resource)
		if err := r.Body().SetEmptyMap().FromRaw(objects[i].Object); err != nil {
			return ld, fmt.Errorf("read %s %s/%s: %w", resource, namespace, objects[i].GetName(), err)
		}
	}
	return ld, nil
}

package kubernetesreceiver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/your-org/tapio/receiver/kubernetesreceiver/internal/metadata"
)

func (s *source) attributes() metric.MeasurementOption { return metric.WithAttributes(s.name()) }

// objects makes records of objects as the k8sobjects receiver does: of those that were listed, change "", the object is the body;
// of a change, the body has `type` and `object`.
func (s *source) objects(change string, all []unstructured.Unstructured) func() (plog.Logs, error) {
	for i := range all {
		s.trim(all[i].Object)
	}
	return func() (plog.Logs, error) {
		ld := plog.NewLogs()
		if len(all) == 0 {
			return ld, nil
		}
		now := pcommon.NewTimestampFromTime(time.Now())
		spaces := map[string]plog.LogRecordSlice{}
		var errs []error
		for i := range all {
			namespace := all[i].GetNamespace()
			records, ok := spaces[namespace]
			if !ok {
				rl := ld.ResourceLogs().AppendEmpty()
				if namespace != "" {
					rl.Resource().Attributes().PutStr("k8s.namespace.name", namespace)
				}
				sl := rl.ScopeLogs().AppendEmpty()
				sl.Scope().SetName(metadata.ScopeName)
				records = sl.LogRecords()
				spaces[namespace] = records
			}
			r := records.AppendEmpty()
			r.SetObservedTimestamp(now)
			r.Attributes().PutStr("k8s.resource.name", s.resource.Name)
			body := r.Body().SetEmptyMap()
			if change != "" {
				body.PutStr("type", change)
				body = body.PutEmptyMap("object")
			}
			if err := body.FromRaw(all[i].Object); err != nil {
				errs = append(errs, fmt.Errorf("read %s %s/%s: %w", s.resource.Name, namespace, all[i].GetName(), err))
			}
		}
		return ld, errors.Join(errs...)
	}
}

// tombstone stands for an object that went while nobody looked.
func tombstone(k key, uid string) unstructured.Unstructured {
	meta := map[string]any{"name": k.name, "uid": uid}
	if k.namespace != "" {
		meta["namespace"] = k.namespace
	}
	return unstructured.Unstructured{Object: map[string]any{"metadata": meta}}
}

// trim takes off what is large and says nothing, and every value that may be a secret.
func (s *source) trim(o map[string]any) {
	if meta, ok := o["metadata"].(map[string]any); ok {
		if !s.unheeded(meta, o) {
			delete(meta, "managedFields")
		}
		if notes, ok := meta["annotations"].(map[string]any); ok {
			delete(notes, "kubectl.kubernetes.io/last-applied-configuration")
		}
		if s.resource.Name == "secrets" {
			delete(meta, "annotations")
		}
	}
	if s.resource.Name == "secrets" || s.resource.Name == "configmaps" {
		for _, field := range []string{"data", "binaryData", "stringData"} {
			if data, ok := o[field].(map[string]any); ok {
				for k := range data {
					data[k] = ""
				}
			}
		}
		return
	}
	spec, _ := o["spec"].(map[string]any)
	s.disguise(spec)
	for _, path := range [][]string{{"template", "spec"}, {"jobTemplate", "spec", "template", "spec"}} {
		inner, ok, _ := unstructured.NestedFieldNoCopy(spec, path...)
		if pod, isMap := inner.(map[string]any); ok && isMap {
			s.disguise(pod)
		}
	}
}

// unheeded says whether a workload has a change that its controller has not seen. Then it matters when that was made.
func (s *source) unheeded(meta, o map[string]any) bool {
	switch s.resource.Name {
	case "deployments", "statefulsets", "daemonsets":
		seen, _, _ := unstructured.NestedInt64(o, "status", "observedGeneration")
		generation, ok := meta["generation"].(int64)
		return ok && generation > seen
	}
	return false
}

// disguise puts hashes in the place of the values of environment variables: whether they changed can be seen, what they are can't.
func (s *source) disguise(pod map[string]any) {
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		all, _ := pod[list].([]any)
		for _, c := range all {
			container, _ := c.(map[string]any)
			env, _ := container["env"].([]any)
			for _, e := range env {
				variable, _ := e.(map[string]any)
				if v, ok := variable["value"].(string); ok && v != "" {
					h := fnv.New64a()
					h.Write(s.salt)
					h.Write([]byte(v))
					variable["value"] = "#" + hex.EncodeToString(h.Sum(nil))
				}
			}
		}
	}
}

// newSalt is what keeps hashes of one process from being compared with those of anything else.
func newSalt() []byte {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	return salt
}

// tell tells objects, and before them what lags behind them from now on.
func (s *source) tell(ctx context.Context, change string, all []unstructured.Unstructured) error {
	if s.states.moved() {
		if err := s.tellState(ctx); err != nil {
			return err
		}
	}
	return s.deliver(ctx, s.objects(change, all))
}

// deliver hands records on, for as long as it takes: until they are taken, refused for good, or ctx ends.
func (r *kubernetesReceiver) deliver(ctx context.Context, records func() (plog.Logs, error)) error {
	const first, last = 100 * time.Millisecond, 5 * time.Second
	for wait := first; ; wait = min(2*wait, last) {
		ld, err := records() // made anew each time: the next component may keep or change what it is given
		if err != nil {
			r.set.Logger.Error("some objects cannot be told", zap.Error(err))
		}
		count := ld.LogRecordCount()
		if count == 0 {
			return nil
		}
		op := r.obs.StartLogsOp(ctx)
		err = r.next.ConsumeLogs(op, ld)
		r.obs.EndLogsOp(op, metadata.Type.String(), count, err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case consumererror.IsPermanent(err):
			r.set.Logger.Error("records were refused for good", zap.Int("records", count), zap.Error(err))
			r.telemetry.ReceiverKubernetesLost.Add(ctx, int64(count))
			return nil
		}
		r.telemetry.ReceiverKubernetesRetries.Add(ctx, 1)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

package objects

import (
	"encoding/base64"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// validFrom and expires are where a Secret that was asked for has the times from and until which its certificate is valid.
const (
	validFrom = "certificateValidFrom"
	expires   = "certificateExpires"
)

// Public takes everything out of a ConfigMap or Secret, as the API gives it, but the names of its keys, when it was changed last, and
// how long the certificate of a TLS secret is valid: of its key, and of all other values, nothing is kept.
func Public(o map[string]any) {
	meta, _ := o["metadata"].(map[string]any)
	last := ""
	if fields, ok := meta["managedFields"].([]any); ok {
		for _, f := range fields {
			if m, ok := f.(map[string]any); ok {
				if at, ok := m["time"].(string); ok && at > last { // RFC 3339 in UTC orders as text
					last = at
				}
			}
		}
	}
	if data, ok := o["data"].(map[string]any); ok {
		if text, ok := data["tls.crt"].(string); ok && o["type"] == "kubernetes.io/tls" {
			if der, err := base64.StdEncoding.DecodeString(text); err == nil {
				if shown := first(der); shown != nil {
					o[validFrom], o[expires] = shown.NotBefore.UTC().Format(time.RFC3339), shown.NotAfter.UTC().Format(time.RFC3339)
				}
			}
		}
	}
	for _, field := range []string{"data", "binaryData", "stringData"} {
		if data, ok := o[field].(map[string]any); ok {
			for k := range data {
				data[k] = ""
			}
		}
	}
	if last != "" {
		o[changedAt] = last
	}
	delete(meta, "annotations") // kubectl apply keeps a copy of all values there
	delete(meta, "managedFields")
}

// certificate tells how long the certificate of a TLS secret is valid.
func (t *telling) certificate(s object) {
	end := s.time(expires)
	if end.IsZero() {
		return
	}
	e := entity.Named(entity.Certificate, s.namespace(), s.name())
	seconds := func(kind string, d time.Duration) signal.Signal {
		return signal.Signal{Time: t.now, Kind: kind, Layer: finding.LayerKubernetes, Entity: e.ID, Shape: signal.Gauge, Value: d.Seconds(), Unit: "s"}
	}
	told := signal.Batch{Entity: e, Signals: []signal.Signal{seconds(signal.CertificateLeft, end.Sub(t.now))}}
	if from := s.time(validFrom); from.Before(end) && !from.IsZero() {
		told.Signals = append(told.Signals, seconds(signal.CertificateLife, end.Sub(from)))
	}
	t.visit(told)
}

// approved is how long a request for a certificate may wait for who approves it.
const approved = time.Minute

// certificateRequest tells of a request for a certificate that nobody approves, or that failed.
func (t *telling) certificateRequest(r object) {
	if t.scope != "" || r.leaving() || r.has("status", "certificate") {
		return
	}
	facts := map[string]string{"signer": r.str("spec", "signerName"), "who": r.str("spec", "username")}
	since := r.created()
	switch failed := r.condition("Failed"); {
	case failed.str("status") == "True":
		facts["problem"], facts["message"], since = "failed", brief(failed.str("message")), failed.time("lastTransitionTime")
	case r.condition("Denied").ok, r.condition("Approved").ok, t.now.Sub(since) < approved:
		return
	default:
		facts["problem"] = "waits"
	}
	t.state(entity.Named(entity.CertificateRequest, "", r.name()), signal.RequestWaits, since, facts["who"]+" asks "+facts["signer"]+" for a certificate", facts)
}

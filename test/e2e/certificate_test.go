//go:build linux

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
)

// A real certificate, shown by a real server, that is valid for half a minute more: its end is told to the second, and then it
// has come.
func TestCertificateExpires(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(30 * time.Second).Truncate(time.Second)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, end)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	collector := newCollector(t, everySecond,
		"--config", "yaml:receivers::httpcheck::collection_interval: 1s",
		"--config", "yaml:receivers::httpcheck::targets: [{endpoint: "+server.URL+", tls: {insecure_skip_verify: true}}]",
		"--config", "yaml:receivers::httpcheck::metrics::httpcheck.tls.cert_remaining::enabled: true",
		"--config", "yaml:service::pipelines::metrics::receivers: [httpcheck]")
	start(t, collector)
	before := wait(t, collector, "certificate-expiry", server.URL, isActive)
	assert.WithinDuration(t, end, before.Forecast.At, 2*time.Second, "the receiver tells whole seconds")
	assert.Equal(t, finding.Critical, before.Severity)
	after := wait(t, collector, "certificate-expired", server.URL, func(f finding.Finding) bool { return f.Outcome != nil })
	assert.Equal(t, before.ID, after.Outcome.Prediction)
	assert.WithinDuration(t, end, after.Outcome.ActualAt, 5*time.Second)
}

func certificate(t *testing.T, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tapio test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

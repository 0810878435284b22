package findingsexporter

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/bearertokenauthextension"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/your-org/tapio/internal/finding/findingtest"
)

// host is a collector with extensions.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// issue makes a certificate for 127.0.0.1, signed by itself, and writes it and its key as PEM files.
func issue(t *testing.T, name string) (certFile, keyFile string, cert tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, name+".crt"), filepath.Join(folder, name+".key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, keyPEM, 0o600))
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	return certFile, keyFile, cert
}

// trust makes the client speak TLS and trust the certificate of a file; certs are the client's own.
func (s *served) trust(certFile string, certs ...tls.Certificate) {
	s.t.Helper()
	text, err := os.ReadFile(certFile)
	require.NoError(s.t, err)
	roots := x509.NewCertPool()
	require.True(s.t, roots.AppendCertsFromPEM(text))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}, ForceAttemptHTTP2: true, DisableCompression: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.client, s.url = &http.Client{Transport: transport}, "https://"+s.address.String()
}

func withTLS(cert, key, clients string) func(*Config) {
	return func(c *Config) {
		server := configtls.NewDefaultServerConfig()
		server.CertFile, server.KeyFile, server.ClientCAFile = cert, key, clients
		c.TLS = configoptional.Some(server)
	}
}

func TestPlainHTTP(t *testing.T) {
	s := serve(t, nil)
	s.tell(findingtest.Samples()...)
	answer, body := s.get("/v1/findings")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, "application/json", answer.Header.Get("Content-Type"))
	assert.Empty(t, answer.Header.Get("Server"), "nobody needs to know what serves")
	findingtest.Valid(t, "report", body)
}

func TestTLSWithHTTP2(t *testing.T) {
	cert, key, _ := issue(t, "server")
	s := serve(t, withTLS(cert, key, ""))
	s.tell(findingtest.Prediction())
	s.trust(cert)
	answer, body := s.get("/v1/findings/" + findingtest.Prediction().ID)
	assert.Equal(t, "HTTP/2.0", answer.Proto)
	findingtest.Valid(t, "finding", body)

	plain, err := http.Get("http://" + s.address.String() + "/v1/findings")
	require.NoError(t, err)
	defer plain.Body.Close()
	assert.Equal(t, http.StatusBadRequest, plain.StatusCode, "nothing is served without TLS")
}

func TestMutualTLS(t *testing.T) {
	cert, key, _ := issue(t, "server")
	clientFile, _, clientCert := issue(t, "client")
	_, _, stranger := issue(t, "stranger")
	s := serve(t, withTLS(cert, key, clientFile))

	s.trust(cert, clientCert)
	answer, _ := s.get("/v1/findings")
	assert.Equal(t, http.StatusOK, answer.StatusCode)

	for name, certs := range map[string][]tls.Certificate{"no certificate": nil, "a certificate of somebody else": {stranger}} {
		s.trust(cert, certs...)
		_, err := s.client.Get(s.url + "/v1/findings")
		assert.Error(t, err, name) // of TLS or of HTTP/2, as it happens
	}
}

func TestBearerToken(t *testing.T) {
	id := component.MustNewID("bearertokenauth")
	factory := bearertokenauthextension.NewFactory()
	cfg := factory.CreateDefaultConfig().(*bearertokenauthextension.Config)
	cfg.BearerToken = "secret"
	auth, err := factory.Create(t.Context(), extensiontest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, auth.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, auth.Shutdown(context.Background())) })

	s := prepare(t, func(c *Config) {
		c.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
	})
	require.NoError(t, s.start(t.Context(), host{id: auth}))
	s.url = "http://" + s.address.String()
	for _, path := range []string{"/v1/findings", "/v1/findings/x", "/v1/findings/watch", "/v1/schema", "/v1/openapi.yaml", "/"} {
		for _, header := range [][]string{nil, {"Authorization", "Bearer wrong"}} {
			answer, body := s.get(path, header...)
			assert.Equal(t, http.StatusUnauthorized, answer.StatusCode, path)
			assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
			findingtest.Valid(t, "problem", body)
		}
	}
	answer, _ := s.get("/v1/findings", "Authorization", "Bearer secret")
	assert.Equal(t, http.StatusOK, answer.StatusCode)

	missing := prepare(t, func(c *Config) {
		c.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
	})
	assert.ErrorContains(t, missing.start(t.Context(), host{}), "bearertokenauth", "the extension is not there")
}

// onSocket makes the client speak to a unix socket.
func (s *served) onSocket(path string) {
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.client, s.url = &http.Client{Transport: transport}, "http://tapio"
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.sock")
	unix := func(c *Config) { c.NetAddr.Transport, c.NetAddr.Endpoint = confignet.TransportTypeUnix, path }

	s := serve(t, unix)
	s.tell(findingtest.Prediction())
	s.onSocket(path)
	answer, body := s.get("/v1/findings")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	findingtest.Valid(t, "report", body)

	second := prepare(t, unix)
	assert.ErrorContains(t, second.start(t.Context(), componenttest.NewNopHost()), "endpoint: cannot listen on", "somebody listens there")
	answer, _ = s.get("/v1/findings")
	assert.Equal(t, http.StatusOK, answer.StatusCode, "the first one is not disturbed")
}

// A process that is killed leaves its socket; the next one must be able to listen.
func TestUnixSocketOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	require.NoError(t, left.Close())

	s := serve(t, func(c *Config) { c.NetAddr.Transport, c.NetAddr.Endpoint = confignet.TransportTypeUnix, path })
	s.onSocket(path)
	answer, _ := s.get("/v1/findings")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
}

// A browser sends the name that a page was loaded from; without auth, only names that cannot be made to point here are served.
func TestOtherHostsAreRefusedOnLoopback(t *testing.T) {
	s := serve(t, func(c *Config) { c.NetAddr.Endpoint = "localhost:0" })
	for host, status := range map[string]int{
		"localhost":              http.StatusOK,
		"LocalHost:4320":         http.StatusOK,
		"localhost.:4320":        http.StatusOK,
		"tapio.localhost":        http.StatusOK,
		"127.0.0.1:4320":         http.StatusOK,
		"[::1]:4320":             http.StatusOK,
		"10.1.2.3":               http.StatusOK,
		"evil.example":           http.StatusMisdirectedRequest,
		"evil.example:4320":      http.StatusMisdirectedRequest,
		"localhost.evil.example": http.StatusMisdirectedRequest,
		"127.0.0.1.evil.example": http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/v1/findings", "/v1/schema"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
			require.NoError(t, err)
			r.Host = host
			answer, err := s.client.Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			assert.Equal(t, status, answer.StatusCode, host)
			if status != http.StatusOK {
				findingtest.Valid(t, "problem", body)
			}
		}
	}
}

func TestStartNamesTheFieldThatIsWrong(t *testing.T) {
	taken := takenPort(t)
	cert, _, _ := issue(t, "server")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"taken":       {func(c *Config) { c.NetAddr.Endpoint = taken }, "endpoint: cannot listen on \"" + taken + "\""},
		"no address":  {func(c *Config) { c.NetAddr.Endpoint = "256.0.0.1:0" }, "endpoint: cannot listen on \"256.0.0.1:0\""},
		"no folder":   {func(c *Config) { c.NetAddr.Transport, c.NetAddr.Endpoint = "unix", "/nothing/there.sock" }, "endpoint: cannot listen on"},
		"plain file":  {func(c *Config) { c.NetAddr.Transport, c.NetAddr.Endpoint = "unix", file }, "endpoint: cannot listen on"},
		"certificate": {withTLS(cert, "/nothing/there.key", ""), "tls: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t, c.change)
			assert.ErrorContains(t, s.start(t.Context(), componenttest.NewNopHost()), c.want)
		})
	}
	assert.FileExists(t, file, "what is no socket stays")
}

func TestOpenEndpointsAreToldApart(t *testing.T) {
	cert, key, _ := issue(t, "server")
	auth := configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: component.MustNewID("x")}})
	for name, c := range map[string]struct {
		change func(*Config)
		want   bool
	}{
		"loopback":           {func(c *Config) { c.NetAddr.Endpoint = "localhost:0" }, false},
		"all interfaces":     {func(c *Config) { c.NetAddr.Endpoint = "0.0.0.0:0" }, true},
		"with auth":          {func(c *Config) { c.NetAddr.Endpoint, c.Auth = "0.0.0.0:0", auth }, false},
		"with TLS":           {func(c *Config) { withTLS(cert, key, "")(c); c.NetAddr.Endpoint = "0.0.0.0:0" }, true},
		"with TLS both ways": {func(c *Config) { withTLS(cert, key, cert)(c); c.NetAddr.Endpoint = "0.0.0.0:0" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			c.change(cfg)
			l, err := cfg.listen(t.Context())
			require.NoError(t, err)
			defer l.Close()
			assert.Equal(t, c.want, cfg.open(l))
		})
	}
}

// Who withholds the end of a request does not keep a connection for ever, whether somebody reads the body or not.
func TestRequestsThatDoNotEnd(t *testing.T) {
	assert.Positive(t, createDefaultConfig().(*Config).ReadTimeout)
	s := serve(t, func(c *Config) { c.ReadTimeout = 100 * time.Millisecond })
	for _, request := range []string{"GET /v1/findings", "GET /nothing", "POST /v1/attributions"} {
		conn, err := net.Dial("tcp", s.address.String())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte(request + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"))
		require.NoError(t, err)
		_, err = io.ReadAll(conn)
		assert.NoError(t, err, request)
	}
}

// A collector that must stop at once does, whatever its clients do.
func TestShutdownThatMayNotWait(t *testing.T) {
	s := serve(t, nil)
	conn, err := net.Dial("tcp", s.address.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /v1/findings HTTP/1.1\r\n")) // and no more
	require.NoError(t, err)
	s.get("/v1/schema") // the one before it was let in
	over, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NoError(t, s.shutdown(over))
	answer, err := io.ReadAll(conn)
	assert.NoError(t, err)
	assert.Empty(t, answer, "it was closed under the client")
}

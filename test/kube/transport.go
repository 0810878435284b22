package kube

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// transport trusts the API server's own certificate.
func transport(ca []byte) *http.Transport {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

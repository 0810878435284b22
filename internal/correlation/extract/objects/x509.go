package objects

import (
	"crypto/x509"
	"encoding/pem"
	"time"
)

// expired says whether all certificates of a bundle (PEM) are valid no more.
func expired(bundle []byte, now time.Time) bool {
	var last time.Time
	certificates(bundle, func(c *x509.Certificate) {
		if c.NotAfter.After(last) {
			last = c.NotAfter
		}
	})
	return !last.IsZero() && now.After(last)
}

// first is the certificate that a server shows: the first of the text; those after it are its issuers. It is nil where there is none.
func first(text []byte) (shown *x509.Certificate) {
	certificates(text, func(c *x509.Certificate) {
		if shown == nil {
			shown = c
		}
	})
	return shown
}

// certificates calls visit for each certificate of a PEM text. Whatever else is in it, keys among it, is passed over.
func certificates(text []byte, visit func(*x509.Certificate)) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			visit(cert)
		}
	}
}

package findingsexporter

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard refuses requests that were made for another host, where findings are served on loopback and to everybody there: a
// page of another site can have its name point to 127.0.0.1, and a browser on this machine would let it read the answers
// (DNS rebinding). It cannot choose the Host that the browser sends. Addresses, localhost and the name in endpoint are fine.
func (c *Config) guard(listener net.Listener, next http.Handler) http.Handler {
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() || c.Auth.HasValue() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := hostname(r.Host); !ours(name) && !strings.EqualFold(name, hostname(c.NetAddr.Endpoint)) {
			refuse(w, problem{Status: http.StatusMisdirectedRequest,
				Detail: fmt.Sprintf("the host %.80q is not served here, want localhost or an address; a proxy must send one of these as Host", name)})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostname is a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// ours says whether a host can only mean this machine, or was given as an address, which nobody can point elsewhere. Browsers
// always send one.
func ours(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	_, err := netip.ParseAddr(name)
	return err == nil || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

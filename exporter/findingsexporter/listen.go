package findingsexporter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"go.opentelemetry.io/collector/config/confignet"
)

// listen opens the endpoint. It is what ServerConfig.ToListener does, but its errors name the field, nothing is left open after
// one, and a unix socket that a killed process left behind is no obstacle.
func (c *Config) listen(ctx context.Context) (net.Listener, error) {
	if c.NetAddr.Transport == confignet.TransportTypeUnix {
		if err := removeDeadSocket(ctx, c.NetAddr.Endpoint); err != nil {
			return nil, fmt.Errorf("endpoint: %w", err)
		}
	}
	listener, err := c.NetAddr.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("endpoint: cannot listen on %q: %w", c.NetAddr.Endpoint, err)
	}
	if !c.TLS.HasValue() {
		return listener, nil
	}
	secure, err := c.TLS.Get().LoadTLSConfig(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tls: %w", err), listener.Close())
	}
	secure.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(listener, secure), nil
}

// removeDeadSocket removes a socket that nobody listens on. Whatever else is there stays, and Listen complains about it.
func removeDeadSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		return conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket that an earlier process left: %w", err)
	}
	return nil
}

// open says whether anybody on the network can reach the listener without authenticating.
func (c *Config) open(listener net.Listener) bool {
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() || c.Auth.HasValue() {
		return false
	}
	return !c.TLS.HasValue() || c.TLS.Get().ClientCAFile == ""
}

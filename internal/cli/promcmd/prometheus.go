// Package promcmd is `tapio prometheus`: findings as Prometheus metrics, where no collector serves them.
package promcmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
)

// New returns the command.
func New(env cli.Env, from *source.Options) *cobra.Command {
	port, address, query := 0, "", source.Query{}
	cmd := &cobra.Command{
		Use:   "prometheus",
		Short: "Serve findings as Prometheus metrics",
		Long: `Serve findings as Prometheus metrics at /metrics until interrupted. The endpoint is asked at every scrape; tapio_up says
whether it answered, of several clusters each by its context. A collector's own prometheus exporter serves the same names, of its own
findings.`,
		Example: `  tapio prometheus --port 9464
  tapio prometheus -A --context east --context west`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return fmt.Errorf("--port is %d, want 0 to 65535", port)
			}
			src, err := from.Open(env.Getenv)
			if err != nil {
				return err
			}
			c := &collector{ctx: cmd.Context(), env: env, source: src, query: query}
			if len(from.Contexts) > 1 {
				c.clusters = from.Contexts
			}
			return c.serve(net.JoinHostPort(address, strconv.Itoa(port)))
		},
	}
	cmd.Flags().IntVar(&port, "port", 9464, "port to serve at; 0 takes a free one")
	cmd.Flags().StringVar(&address, "address", "localhost", "address to serve at")
	cmd.Flags().StringVarP(&query.Namespace, "namespace", "n", "", "only this Kubernetes namespace")
	cmd.Flags().BoolVarP(&query.All, "all-namespaces", "A", false, "all namespaces, and what is in none (the default where the kubeconfig's context names none)")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	return cmd
}

// serve serves until the collector's context ends.
func (c *collector) serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve at --address and --port: %w", err)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(c.env.ErrOut, "serving http://%s/metrics from the findings at %s\n", listener.Addr(), cli.Clean(c.source.String()))
	stop := context.AfterFunc(c.ctx, func() {
		timeout, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(timeout)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

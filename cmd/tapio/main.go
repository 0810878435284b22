// Command tapio says what is broken in a cluster or on a node, why, what will break next and when, and how to fix it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/root"
)

func main() {
	klog.SetLogger(logr.Discard()) // what client-go has to say is told by tapio, where it matters
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	status := root.Run(ctx, cli.System(), os.Args)
	stop()
	os.Exit(status)
}

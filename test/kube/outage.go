package kube

import (
	"context"
	"fmt"
	"slices"
)

const apiServer = "kube-apiserver"

// StopAPI ends the API server, at once; etcd keeps what it had.
func (c *Cluster) StopAPI() error {
	i := slices.IndexFunc(c.processes, func(p part) bool { return p.name == apiServer && p.ProcessState == nil })
	if i < 0 {
		return fmt.Errorf("stop the API server: it does not run")
	}
	if err := c.processes[i].Process.Kill(); err != nil {
		return fmt.Errorf("stop the API server: %w", err)
	}
	_ = c.processes[i].Wait()
	return nil
}

// StartAPI starts the API server again, and returns when it answers.
func (c *Cluster) StartAPI(ctx context.Context) error {
	i := slices.IndexFunc(c.processes, func(p part) bool { return p.name == apiServer })
	old := c.processes[i]
	c.processes = slices.Delete(c.processes, i, i+1)
	if err := c.run(old.Path, old.name, old.Args[2:]...); err != nil {
		return err
	}
	return c.ready(ctx)
}

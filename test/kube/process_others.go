//go:build !linux

package kube

import "syscall"

func orphaned() *syscall.SysProcAttr { return nil }

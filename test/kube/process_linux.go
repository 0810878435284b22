package kube

import "syscall"

// orphaned makes a part end with the test, however that ends.
func orphaned() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

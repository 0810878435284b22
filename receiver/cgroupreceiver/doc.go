//go:generate go tool mdatagen metadata.yaml

// Package cgroupreceiver reads what the kernel accounts for every cgroup: memory, CPU, IO, processes and pressure, on cgroup
// v1, v2 and hybrid hosts, and tells at once when the kernel kills for want of memory.
package cgroupreceiver

//go:generate go tool mdatagen metadata.yaml

// Package ebpfreceiver tells what only the kernel sees, by small programs that it runs at the kernel's tracepoints: who was
// killed for want of memory and at whose request, how processes end and who ended them, whom they connect to and why they
// cannot, and what tasks wait for.
package ebpfreceiver

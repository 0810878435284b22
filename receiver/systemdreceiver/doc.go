//go:generate go tool mdatagen metadata.yaml

// Package systemdreceiver follows systemd's units over its bus: what fails, is started again or given up, how main processes
// end, and memory and tasks against their limits.
package systemdreceiver

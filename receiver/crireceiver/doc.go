//go:generate go tool mdatagen metadata.yaml

// Package crireceiver follows the containers and pods of a node by its container runtime (CRI v1): what is made, started, ends
// and why, and which pod, namespace and container an id of a container stands for. It needs no API server.
package crireceiver

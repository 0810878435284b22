//go:generate go tool mdatagen metadata.yaml

// Package kubernetesreceiver lists the objects of a Kubernetes cluster and watches them from there on, as log records of the form
// that the upstream k8sobjects receiver has. It starts, and goes on, without the API server.
package kubernetesreceiver

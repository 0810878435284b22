//go:generate go tool mdatagen metadata.yaml

// Package findingsexporter keeps the findings that a pipeline brings and serves them over HTTP: as one report, one by one,
// and as a stream of changes.
package findingsexporter

//go:generate go tool mdatagen metadata.yaml

// Package correlationprocessor is the correlation engine as a collector processor. It sits under one id in a metrics and a
// logs pipeline, learns from both, and tells findings as log events.
package correlationprocessor

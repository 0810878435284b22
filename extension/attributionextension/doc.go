//go:generate go tool mdatagen metadata.yaml

// Package attributionextension takes questions of who holds a container's memory, and which of its system calls fail, one after the
// other, and hands them to who can find it out.
package attributionextension

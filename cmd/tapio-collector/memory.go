package main

import (
	"os"
	"runtime/debug"
)

// spareMemory has garbage collected when the heap has grown by half, where Go waits until it has doubled: on a node memory is dearer
// than the CPU that this takes. GOGC, where it is set, decides. `make generate` puts the call into main.go.
func spareMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

package bpf

// These read registers: an object for each machine.

//go:generate go tool bpf2go -target amd64,arm64 -type event -type span -type marked -type asked -type started -type target -type state GoHeap goheap.bpf.c -- -O2 -Wall -Werror -Iheaders
//go:generate go tool bpf2go -target amd64,arm64 -type event -type call -type end -type sample -type death -type how -type counters Malloc malloc.bpf.c -- -O2 -Wall -Werror -Iheaders

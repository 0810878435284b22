// Package bpf holds Tapio's programs for the kernel: their source in C, a file for each group of probes, and what bpf2go makes
// of it, which is committed. `make generate` makes it anew with Debian's clang.
//
// One object serves all little-endian machines: CO-RE finds the fields, and registers by their names.
package bpf

//go:generate go tool bpf2go -target bpfel -output-suffix "" -no-global-types -type event -type kill -type end -type tapio_cgroup OOM oom.bpf.c -- -O2 -Wall -Werror -Iheaders
//go:generate go tool bpf2go -target bpfel -output-suffix "" -no-global-types -type count -type sender -type exit -type sent -type tapio_cgroup Process process.bpf.c -- -O2 -Wall -Werror -Iheaders
//go:generate go tool bpf2go -target bpfel -output-suffix "" -no-global-types -type outcome -type count -type peer -type peer_counts -type listener -type member Network network.bpf.c -- -O2 -Wall -Werror -Iheaders
//go:generate go tool bpf2go -target bpfel -output-suffix "" -no-global-types -type outcome -type count -type question -type question_counts -type query DNS dns.bpf.c -- -O2 -Wall -Werror -Iheaders
//go:generate go tool bpf2go -target bpfel -output-suffix "" -no-global-types -type count -type look -type growth -type disk -type disk_counts Performance performance.bpf.c -- -O2 -Wall -Werror -Iheaders
//go:generate go tool bpf2go -target bpfel -output-suffix "" -no-global-types -type failure -type failures Errno errno.bpf.c -- -O2 -Wall -Werror -Iheaders

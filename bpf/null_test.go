package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a program of BTF is given by a tracepoint must not be 0, since the verifiers of Linux 6.10 to 6.12.1 leave out the look whether it is:
// so each tracepoint of one is here, with why. raw_tp_null_args of kernel/bpf/btf.c has those whose arguments may be 0.
func TestNoArgumentIsNull(t *testing.T) {
	never := map[string]string{
		"inet_sock_set_state": "the state that it had is an argument as well",
		"tcp_retransmit_skb":  "of a socket's own queue",
		"tcp_receive_reset":   "a segment for it has come",
		"net_dev_queue":       "a packet that is sent",
		"netif_receive_skb":   "a packet that has come",
	}
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){
		"oom": LoadOOM, "process": LoadProcess, "network": LoadNetwork, "dns": LoadDNS, "performance": LoadPerformance, "errno": LoadErrno,
		"goheap": LoadGoHeap, "malloc": LoadMalloc,
	} {
		spec, err := load()
		require.NoError(t, err)
		for _, program := range spec.Programs {
			if program.Type == ebpf.Tracing && program.AttachType == ebpf.AttachTraceRawTp {
				assert.Contains(t, never, program.AttachTo, "%s of %s", program.Name, name)
			}
		}
	}
}

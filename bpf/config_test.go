//go:build linux

package bpf

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/require"
)

// Kernels may be built without some of what the programs read. Of this kernel's types is taken away what such a one does not have, and each
// group of probes loads all the same.
func TestLoadWithout(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("this test loads programs into the kernel, which takes root")
	}
	require.NoError(t, rlimit.RemoveMemlock())
	for config, members := range map[string][]string{
		"CONFIG_IPV6":       {"sock_common.skc_v6_daddr"},
		"CONFIG_NET_NS":     {"possible_net_t.net"},
		"CONFIG_MEMCG":      {"cgroup_subsys_id.memory_cgrp_id", "mem_cgroup.css", "mem_cgroup.memory", "page_counter.usage", "page_counter.max"},
		"CONFIG_SCHED_INFO": {"sched_info.run_delay", "sched_info.pcount"},
		"CONFIG_CGROUPS":    {"cgroup_subsys_id.memory_cgrp_id", "task_struct.cgroups", "css_set.subsys"},
	} {
		t.Run(config, func(t *testing.T) {
			kernel := kernelWithout(t, members)
			for name, load := range map[string]func() (*ebpf.CollectionSpec, error){
				"oom": LoadOOM, "process": LoadProcess, "network": LoadNetwork, "dns": LoadDNS, "performance": LoadPerformance, "errno": LoadErrno,
			} {
				spec, err := load()
				require.NoError(t, err)
				coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{KernelTypes: kernel}})
				require.NoError(t, err, name)
				coll.Close()
			}
		})
	}
}

// kernelWithout is what this kernel says of its types, without some members, each given as TYPE.MEMBER.
func kernelWithout(t *testing.T, members []string) *btf.Spec {
	t.Helper()
	spec, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	for _, member := range members {
		of, name, _ := strings.Cut(member, ".")
		all, err := spec.AnyTypesByName(of)
		require.NoError(t, err)
		taken := false
		for _, typ := range all {
			switch typ := btf.UnderlyingType(typ).(type) {
			case *btf.Struct:
				typ.Members = slices.DeleteFunc(typ.Members, func(m btf.Member) bool { taken = taken || m.Name == name; return m.Name == name })
			case *btf.Enum:
				typ.Values = slices.DeleteFunc(typ.Values, func(v btf.EnumValue) bool { taken = taken || v.Name == name; return v.Name == name })
			}
		}
		require.True(t, taken, "%s has no %s here", of, name)
	}
	return spec
}

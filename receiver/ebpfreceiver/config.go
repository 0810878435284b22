package ebpfreceiver

import "go.opentelemetry.io/collector/component"

// Config is the configuration of the ebpf receiver.
type Config struct {
	// Probes switches the groups of probes.
	Probes Probes `mapstructure:"probes"`
}

// Probes are the groups of probes.
type Probes struct {
	// OOM tells of kills for want of memory.
	OOM Probe `mapstructure:"oom"`
}

// Probe is the configuration of one group of probes.
type Probe struct {
	// Enabled says whether the group is loaded into the kernel.
	Enabled bool `mapstructure:"enabled"`
}

func createDefaultConfig() component.Config {
	on := Probe{Enabled: true}
	return &Config{Probes: Probes{OOM: on}}
}

package kubernetesreceiver

import (
	"context"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/k8sleaderelector"
	"go.opentelemetry.io/collector/component"
)

// elect lets an extension say when this collector is the one to watch.
func (r *kubernetesReceiver) elect(host component.Host) error {
	ext, ok := host.GetExtensions()[*r.cfg.LeaderElector]
	if !ok {
		return fmt.Errorf("k8s_leader_elector: there is no extension %q; want the id of a k8s_leader_elector that service::extensions lists", r.cfg.LeaderElector)
	}
	elector, ok := ext.(k8sleaderelector.LeaderElection)
	if !ok {
		return fmt.Errorf("k8s_leader_elector: extension %q elects no leader; want a k8s_leader_elector", r.cfg.LeaderElector)
	}
	elector.SetCallBackFuncs(func(context.Context) {
		r.set.Logger.Info("this replica watches the cluster")
		r.lead()
	}, func() {
		// It is called on the way down as well, and when leadership ends because the API server is away.
		r.follow()
		r.states.all(standby, follows)
	})
	return nil
}

package objects

import (
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// joining is how long a new node may take to get ready.
const joining = 2 * time.Minute

var pressures = map[string]string{"MemoryPressure": "memory", "DiskPressure": "disk", "PIDPressure": "pids"}

// node tells of a node that is not ready or short of something.
func (t *telling) node(n object) {
	if n.leaving() {
		return
	}
	e := entity.Entity{ID: entity.ID("node:" + n.name()), Kind: entity.Node, Name: n.name(), Node: n.name()}
	n.each(func(c object) {
		since, message := c.time("lastTransitionTime"), c.str("message")
		if resource := pressures[c.str("type")]; resource != "" && c.str("status") == "True" {
			t.state(e, signal.NodePressure, since, "the kubelet: "+brief(message), map[string]string{"resource": resource, "message": brief(message)})
		}
		if c.str("type") != "Ready" || c.str("status") == "True" || c.str("status") == "False" && t.now.Sub(n.created()) < joining {
			return
		}
		facts := map[string]string{"reason": c.str("reason"), "message": brief(message)}
		switch {
		case c.str("status") == "Unknown":
			facts["problem"] = "silent"
		case strings.Contains(message, "PLEG is not healthy"):
			facts["problem"] = "pleg"
		case strings.Contains(message, "container runtime is down"), strings.Contains(message, "container runtime not ready"), strings.Contains(message, "RuntimeReady=false"):
			facts["problem"] = "runtime"
		case strings.Contains(message, "cni"), strings.Contains(message, "NetworkReady=false"), strings.Contains(message, "NetworkPluginNotReady"):
			facts["problem"] = "network"
		}
		if heard := c.time("lastHeartbeatTime"); !heard.IsZero() && facts["problem"] == "silent" {
			since = heard
		}
		t.state(e, signal.NodeNotReady, since, "Ready is "+c.str("status")+": "+brief(message), facts)
	}, "status", "conditions")
}

// claim tells of a claim for a volume that nothing provides.
func (t *telling) claim(pvc object) {
	if pvc.str("status", "phase") != "Pending" || pvc.leaving() || t.now.Sub(pvc.created()) < settling {
		return
	}
	e := entity.Named(entity.Volume, pvc.namespace(), pvc.name())
	facts := map[string]string{}
	if class, ok := pvc.value("spec", "storageClassName"); ok {
		facts["class"] = class.AsString()
		if _, known := t.kinds["storageclasses"][key{"", facts["class"]}]; !known && facts["class"] != "" && t.listed["storageclasses"] {
			facts["problem"] = "class"
		}
	} else {
		facts["problem"] = "no_class" // nor is there a default, or the API server would have put it in
	}
	ev := t.last("PersistentVolumeClaim", pvc, t.now.Add(-lately), "ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "WaitForFirstConsumer", "WaitForPodScheduled")
	switch reason := ev.str("reason"); {
	case facts["problem"] == "class":
	case reason == "WaitForFirstConsumer", reason == "WaitForPodScheduled", facts["problem"] == "" && t.late(facts["class"]) && !t.used(pvc):
		return // it is bound when a pod needs it
	case reason == "ProvisioningFailed" && facts["problem"] == "":
		facts["problem"] = "provisioner"
	}
	text := "the claim is Pending"
	if ev.ok {
		facts["message"] = brief(said(ev))
		text = "the volume controller: " + facts["message"]
	}
	t.state(e, signal.ClaimUnbound, pvc.created(), text, facts)
}

// late says whether volumes of a class are bound only when a pod uses them.
func (c *Cluster) late(class string) bool {
	return c.kinds["storageclasses"][key{"", class}].str("volumeBindingMode") == "WaitForFirstConsumer"
}

// used says whether a pod uses a claim.
func (c *Cluster) used(pvc object) bool {
	for _, pod := range c.kinds["pods"] {
		if pod.namespace() != pvc.namespace() {
			continue
		}
		found := false
		pod.each(func(v object) { found = found || v.str("persistentVolumeClaim", "claimName") == pvc.name() }, "spec", "volumes")
		if found {
			return true
		}
	}
	return false
}

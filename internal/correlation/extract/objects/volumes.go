package objects

import (
	"cmp"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// claim tells of a claim for a volume that nothing provides, that lost its volume, or whose volume does not grow.
func (t *telling) claim(pvc object) {
	switch {
	case pvc.leaving():
		t.overdue(entity.Volume, pvc)
	case pvc.str("status", "phase") == "Lost":
		ev := t.last("PersistentVolumeClaim", pvc, t.now.Add(-lately), "ClaimLost", "ClaimMisbound")
		facts := map[string]string{"problem": "lost", "volume": pvc.str("spec", "volumeName"), "message": brief(said(ev))}
		t.state(entity.Named(entity.Volume, pvc.namespace(), pvc.name()), signal.VolumeLost, began(ev), "the claim has lost its volume "+facts["volume"], facts)
	case pvc.str("status", "phase") == "Pending" && t.now.Sub(pvc.created()) >= settling:
		t.pending(pvc)
	case pvc.str("status", "phase") == "Bound":
		t.growing(pvc)
	}
}

// pending tells why a claim is not bound.
func (t *telling) pending(pvc object) {
	facts := map[string]string{"size": pvc.text("spec", "resources", "requests", "storage")}
	var have []string
	for _, c := range t.sorted("storageclasses") {
		have = append(have, c.name())
	}
	facts["classes"] = join(have)
	if class, ok := pvc.value("spec", "storageClassName"); ok {
		facts["class"] = class.AsString()
		if facts["class"] != "" && t.lacks("storageclasses", "", facts["class"]) && !t.hasVolumes(facts["class"]) {
			facts["problem"] = "class"
		}
	} else {
		facts["problem"] = "no_class" // nor is there a default, or the API server would have put it in
	}
	if name := pvc.str("spec", "volumeName"); name != "" && t.sees("persistentvolumes", "") {
		t.named(pvc, name, facts)
	}
	ev := t.last("PersistentVolumeClaim", pvc, t.now.Add(-lately), "ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "WaitForFirstConsumer", "WaitForPodScheduled", "VolumeMismatch")
	// The volume controller says again and again that it waits for the provisioner, and tells less than the provisioner does.
	if failed := t.last("PersistentVolumeClaim", pvc, t.now.Add(-lately), "ProvisioningFailed"); failed.ok && ev.str("reason") == "ExternalProvisioning" {
		ev = failed
	}
	byHand := t.get("storageclasses", "", facts["class"]).str("provisioner") == "kubernetes.io/no-provisioner"
	switch reason := ev.str("reason"); {
	case facts["problem"] != "":
	case reason == "WaitForFirstConsumer", reason == "WaitForPodScheduled", t.late(facts["class"]) && len(t.users(pvc)) == 0:
		return // it is bound when a pod needs it
	case byHand && (reason == "FailedBinding" || reason == "ProvisioningFailed"):
		facts["problem"] = "manual"
	case reason == "ProvisioningFailed":
		facts["problem"] = "provisioner"
	case reason == "VolumeMismatch":
		facts["problem"] = "mismatch"
	case reason == "ExternalProvisioning":
		if t.now.Sub(pvc.created()) < starting/2 {
			return // its provisioner may be at it
		}
		facts["problem"], facts["provisioner"] = "waits", t.get("storageclasses", "", facts["class"]).str("provisioner")
	}
	text := "the claim is Pending"
	if ev.ok {
		facts["message"] = brief(strings.TrimSuffix(said(ev), "."))
		text = "the volume controller: " + facts["message"]
	}
	t.state(entity.Named(entity.Volume, pvc.namespace(), pvc.name()), signal.ClaimUnbound, pvc.created(), text, facts)
}

// named looks at the volume that a claim names.
func (t *telling) named(pvc object, name string, facts map[string]string) {
	pv := t.get("persistentvolumes", "", name)
	facts["volume"] = name
	switch ref := pv.child("spec", "claimRef"); {
	case !pv.ok:
		facts["problem"] = "volume_missing"
	case pv.str("status", "phase") == "Released", ref.ok && ref.str("uid") != "" && ref.str("uid") != pvc.uid():
		facts["problem"], facts["held_by"] = "volume_taken", ref.str("namespace")+"/"+ref.str("name")
	case quantity(pv, "spec", "capacity", "storage") < quantity(pvc, "spec", "resources", "requests", "storage"):
		facts["problem"], facts["volume_size"] = "volume_small", pv.text("spec", "capacity", "storage")
	}
}

// hasVolumes says whether volumes of a class were made by hand: such a class needs no object.
func (t *telling) hasVolumes(class string) bool {
	for _, pv := range t.kinds["persistentvolumes"] {
		if pv.str("spec", "storageClassName") == class {
			return true
		}
	}
	return false
}

// late says whether volumes of a class are bound only when a pod uses them.
func (c *Cluster) late(class string) bool {
	return c.get("storageclasses", "", class).str("volumeBindingMode") == "WaitForFirstConsumer"
}

// growing tells of a claim that asked for more space and does not get it.
func (t *telling) growing(pvc object) {
	want, has := quantity(pvc, "spec", "resources", "requests", "storage"), quantity(pvc, "status", "capacity", "storage")
	if want <= has || has == 0 {
		return
	}
	facts := map[string]string{"wants": pvc.text("spec", "resources", "requests", "storage"), "has": pvc.text("status", "capacity", "storage"),
		"class": pvc.str("spec", "storageClassName")}
	since := time.Time{}
	for _, kind := range []struct{ condition, problem string }{{"ControllerResizeError", "controller"}, {"NodeResizeError", "node"}, {"FileSystemResizePending", "restart"}} {
		if c := pvc.condition(kind.condition); c.str("status") == "True" && facts["problem"] == "" {
			facts["problem"], facts["message"], since = kind.problem, brief(c.str("message")), c.time("lastTransitionTime")
		}
	}
	ev := t.last("PersistentVolumeClaim", pvc, t.now.Add(-lately), "VolumeResizeFailed", "FileSystemResizeFailed")
	waits := t.last("PersistentVolumeClaim", pvc, t.now.Add(-lately), "ExternalExpanding")
	switch {
	case facts["problem"] != "":
	case ev.ok && ev.str("type") == "Warning":
		facts["problem"], facts["message"], since = "controller", brief(said(ev)), began(ev)
	case waits.ok && !pvc.condition("Resizing").ok && t.now.Sub(began(waits)) >= starting: // its driver's resizer has not begun
		facts["problem"], facts["message"], since = "waits", brief(said(waits)), began(waits)
	}
	if facts["problem"] == "" || facts["problem"] == "restart" && t.now.Sub(since) < starting {
		return // it is at it
	}
	t.state(entity.Named(entity.Volume, pvc.namespace(), pvc.name()), signal.ResizeStuck, since, "the volume is to grow to "+facts["wants"]+": "+cmp.Or(facts["message"], "it does not"), facts)
}

// volume tells of a volume that failed.
func (t *telling) volume(pv object) {
	if t.scope != "" && t.scope != pv.str("spec", "claimRef", "namespace") {
		return
	}
	switch {
	case pv.leaving():
		t.overdue(entity.PersistentVolume, pv)
	case pv.str("status", "phase") == "Failed":
		since := cmp.Or(pv.time("status", "lastPhaseTransitionTime"), pv.created())
		facts := map[string]string{"problem": "failed", "message": brief(pv.str("status", "message")), "policy": pv.str("spec", "persistentVolumeReclaimPolicy")}
		t.state(entity.Named(entity.PersistentVolume, "", pv.name()), signal.VolumeLost, since, "the volume failed: "+facts["message"], facts)
	}
}

package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

type scenario struct {
	name, pattern, entity string
	severity              finding.Severity
	says                  []string
	// later is how long after the objects were made it is looked: what has to hold for a while before it is told.
	later time.Duration
	// played says that a controller's status is played as well: that of autoscalers, for want of metrics.
	played bool
	// proof shows that what is told holds.
	proof func(*testing.T)
}

// judge says what is wrong with a report on a scenario: one cause is one finding.
func (s scenario) judge(r finding.Report) []string {
	if len(r.Findings) != 1 {
		wrong := []string{fmt.Sprintf("%d findings, want one", len(r.Findings))}
		for _, f := range r.Findings {
			wrong = append(wrong, fmt.Sprintf("%s %s: %s\n%s", f.Pattern, f.Entity.Display(), f.Title, f.Explanation))
		}
		return wrong
	}
	var wrong []string
	f := r.Findings[0]
	said := f.Title + "\n" + f.Explanation
	for _, r := range f.Remedies {
		said += "\n" + r.Command
	}
	if got := f.Pattern + " " + f.Entity.Kind + " " + f.Entity.Display() + " " + string(f.Severity); got != s.pattern+" "+s.entity+" "+string(s.severity) {
		wrong = append(wrong, "is "+got)
	}
	for _, want := range s.says {
		if !strings.Contains(said, want) {
			wrong = append(wrong, "does not say "+want)
		}
	}
	for _, slip := range []string{"%!", "<no value>", "  ", " .", ".."} {
		if strings.Contains(said, slip) {
			wrong = append(wrong, fmt.Sprintf("says %q", slip))
		}
	}
	if len(wrong) > 0 {
		wrong = append(wrong, said)
	}
	return wrong
}

// scenarios are failures, each made through the real API in a namespace of its name, from the file of its name in testdata. Each has
// to be one finding, with the cause and what helps.
var scenarios = []scenario{
	{name: "crash-exit", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"api crashes again and again with exit code 3", "It said: loading panic: no DATABASE_URL.", "2 more of its pods", "Service api has no ready pod"}},
	{name: "crash-signal", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"by SIGSEGV", "memory that is not its own"}},
	{name: "crash-missing", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"/app/servr is not in the image"}},
	{name: "crash-done", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"ends again and again with exit code 0"}},
	{name: "oom", pattern: "oom-killed", entity: "Container api", severity: finding.Critical, says: []string{"api was OOM-killed", "64 MiB", "kubectl set resources deployment/api -n oom -c api --limits=memory=164Mi"}},
	{name: "image-tag", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"image nginx:1.99 does not exist", "1 more of its pods"}},
	{name: "image-auth", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"registry reg.example:5000 refuses the credentials", "names no pull secret"}},
	{name: "image-name", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"NGINX:latest is no valid name of an image"}},
	{name: "config-missing", pattern: "container-config-error", entity: "Container api", severity: finding.Critical, says: []string{"ConfigMap app-config does not exist"}},
	{name: "config-key", pattern: "container-config-error", entity: "Container api", severity: finding.Critical, says: []string{"Secret db-creds has no key password", "it has pass, user."}},
	{name: "mount-missing", pattern: "container-config-error", entity: "Pod api", severity: finding.Critical, says: []string{"ConfigMap app-files does not exist"}},
	{name: "pending-cpu", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"asks for 64 CPU, more than any node has", "the largest node has 4 CPU", "1 more of its pods"}},
	{name: "pending-selector", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"no node has the labels it asks for (disk=nvme)"}},
	{name: "pending-claim", pattern: "volume-unbound", entity: "Volume data", severity: finding.Warning, says: []string{"storage class fast does not exist", "Because of this: api cannot be scheduled: its volume claim data is not bound"}},
	{name: "probe-ready", pattern: "probe-failing", entity: "Container api", severity: finding.Critical, says: []string{"api is not ready: its readiness probe fails", "GET http://:8080/ready", "statuscode: 503", "Service api has no ready pod", "api does not roll out"}},
	{name: "probe-live", pattern: "probe-failing", entity: "Container api", severity: finding.Critical, says: []string{"its liveness probe fails", "GET http://:8080/healthz"}},
	{name: "init", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"its init container migrate crashes", "cannot connect to db:5432"}},
	{name: "selector", pattern: "service-without-endpoints", entity: "Service api", severity: finding.Critical, says: []string{"selects no pod (app=apii)", "deployment/api nearly fit: their label app is api"}, later: 2 * time.Minute},
	{name: "port", pattern: "service-without-endpoints", entity: "Service api", severity: finding.Critical, says: []string{"sends to port http, which no container has", "name web"}, later: 2 * time.Minute},
	{name: "quota", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"the quota small of namespace quota is used up", "pods=0"}},
	{name: "evicted", pattern: "pod-failed", entity: "Pod worker", severity: finding.Warning, says: []string{"worker was evicted: its node was low on memory", "The kubelet of node n1 ended pod worker"}},
	{name: "job", pattern: "job-failed", entity: "Job report", severity: finding.Warning, says: []string{"its pod failed", "main: exit code 2"}},
	{name: "crash-hook", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"its postStart hook fails", "right after its start"}},
	{name: "crash-forbidden", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"service account default may not list pods", "kubectl auth can-i --list -n crash-forbidden"}},
	{name: "crash-upstream", pattern: "crash-loop", entity: "Container db", severity: finding.Critical, says: []string{"db crashes again and again", "Because of this: ", "Service api has no ready pod", "api crashes again and again"}},
	{name: "rollout-broke", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"after revision 2 of the Deployment: the image of api went from rig.local/app:1 to rig.local/app:2.", "2 pods of the revision before are well", "kubectl rollout undo deployment/api"}},
	{name: "image-shared", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"image nginx:1.98 does not exist", "The same cause holds for 1 more: image-shared/web."}},
	{name: "image-never", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"local/api:1 is not on the node, and may not be pulled", "imagePullPolicy is Never"}},
	{name: "config-path", pattern: "container-config-error", entity: "Container api", severity: finding.Critical, says: []string{"the subPath of a volume"}},
	{name: "probe-start", pattern: "probe-failing", entity: "Container api", severity: finding.Critical, says: []string{"its startup probe fails", "After 20s of this", "more time to start"}},
	{name: "init-waits", pattern: "init-stuck", entity: "Container api", severity: finding.Warning, says: []string{"its init container wait waits for service dbb, which does not exist", "There is a service db."}},
	{name: "mount-attach", pattern: "volume-mount-failed", entity: "Pod api", severity: finding.Critical, says: []string{"volume claim data is still attached elsewhere, used by api-old", "kubectl get volumeattachments"}},
	{name: "mount-driver", pattern: "volume-mount-failed", entity: "Pod api", severity: finding.Critical, says: []string{"volume data has a driver that does not run on node n"}, later: 6 * time.Minute},
	{name: "sandbox-addresses", pattern: "pod-setup-failed", entity: "Pod api", severity: finding.Critical, says: []string{"has no IP address left for pods", "1 more of its pods"}},
	{name: "evicted-storage", pattern: "pod-failed", entity: "Pod worker", severity: finding.Warning, says: []string{"wrote more than its limit of ephemeral storage, 1Gi"}},
	{name: "evicted-dir", pattern: "pod-failed", entity: "Pod worker", severity: finding.Warning, says: []string{"its emptyDir volume cache grew beyond 500Mi"}},
	{name: "resize", pattern: "pod-resize-refused", entity: "Pod api", severity: finding.Warning, says: []string{"node n1 can never give them", "requested: 64000"}},
	{name: "finalizer-pod", pattern: "pod-stuck-terminating", entity: "Pod worker", severity: finding.Warning, says: []string{"finalizer example.com/backup is not done"}, later: 2 * time.Minute},
	{name: "finalizer-claim", pattern: "deletion-stuck", entity: "Volume data", severity: finding.Warning, says: []string{"Volume claim data was deleted and does not go: api-", "still uses it"}, later: 2 * time.Minute},
	{name: "pending-gate", pattern: "pod-unschedulable", entity: "Pod train", severity: finding.Info, says: []string{"gate example.com/queue is not taken away"}, later: 2 * time.Minute},
	{name: "pending-scheduler", pattern: "pod-unschedulable", entity: "Pod train", severity: finding.Warning, says: []string{"scheduler volcano does not run"}, later: 2 * time.Minute},
	{name: "pending-node", pattern: "pod-unschedulable", entity: "Pod train", severity: finding.Warning, says: []string{"it is put onto node ghost, which does not exist"}},
	{name: "pending-affinity", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"its affinity or spreading rules leave no node of 2", "There are 3 pods with its labels."}},
	{name: "claim-taken", pattern: "volume-unbound", entity: "Volume data", severity: finding.Warning, says: []string{"volume claim-taken is kept for claim elsewhere/other"}},
	{name: "claim-waits", pattern: "volume-unbound", entity: "Volume data", severity: finding.Critical, says: []string{"the provisioner of class claim-waits, csi.example.com, makes none"}, later: 6 * time.Minute},
	{name: "hpa-target", pattern: "hpa-not-scaling", entity: "HorizontalPodAutoscaler api", severity: finding.Warning, says: []string{"does not scale deployment/apii: it does not exist"}},
	{name: "hpa-metrics", pattern: "hpa-not-scaling", entity: "HorizontalPodAutoscaler api", severity: finding.Warning, says: []string{"nothing serves metrics.k8s.io", "metrics-server is not installed", "these containers request nothing to take a share of: api (cpu)"}},
	{name: "hpa-requests", pattern: "hpa-not-scaling", entity: "HorizontalPodAutoscaler api", severity: finding.Warning, says: []string{"container api requests no cpu", "kubectl set resources deployment/api -n hpa-requests -c api --requests=cpu=100m"}, played: true},
	{name: "hpa-maximum", pattern: "hpa-at-maximum", entity: "HorizontalPodAutoscaler api", severity: finding.Warning, says: []string{"deployment/api needs more than 3 replicas", "cpu is at 190 %"}, played: true},
	{name: "budget-never", pattern: "eviction-blocked", entity: "PodDisruptionBudget api", severity: finding.Warning, says: []string{"never lets a pod of deployment/api be evicted (minAvailable 2, 2 pods)", "kubectl patch pdb api -n budget-never"}},
	{name: "budget-crash", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"Because of this: ", "Disruption budget api lets no pod of deployment/api be evicted: 0 of 2 are healthy, 1 have to be"}, later: 6 * time.Minute},
	{name: "ingress-class", pattern: "ingress-broken", entity: "Ingress web", severity: finding.Critical, says: []string{"ingress class nginxx does not exist", "There is: nginx.", "kubectl get ingressclasses"}},
	{name: "ingress-service", pattern: "ingress-broken", entity: "Ingress web", severity: finding.Critical, says: []string{"sends to service apii, which does not exist", "There is a service api."}},
	{name: "ingress-port", pattern: "ingress-broken", entity: "Ingress web", severity: finding.Critical, says: []string{"sends to port 8080 of service api, which does not have it", "has the ports 80"}},
	{name: "ingress-secret", pattern: "ingress-broken", entity: "Ingress web", severity: finding.Warning, says: []string{"has no certificate: secret shop-tls does not exist"}, later: 2 * time.Minute},
	{name: "policy", pattern: "traffic-denied", entity: "NetworkPolicy backend-only", severity: finding.Warning, says: []string{"keeps deployment/frontend from service backend", "only pods with tier=backend, on port 80", "app=frontend"}},
	{name: "port-number", pattern: "service-without-endpoints", entity: "Service api", severity: finding.Warning, says: []string{"sends to port 8080, and its pods declare 80"}},
	{name: "service-alias", pattern: "service-without-endpoints", entity: "Service db", severity: finding.Critical, says: []string{"stands for postgres.service-alias.svc.cluster.local, which does not exist"}, later: 2 * time.Minute},
	{name: "load-balancer", pattern: "load-balancer-pending", entity: "Service api", severity: finding.Warning, says: []string{"nobody provides load balancers"}, later: 6 * time.Minute},
	{name: "webhook", pattern: "webhook-away", entity: "ValidatingWebhookConfiguration guard", severity: finding.Critical, says: []string{"Webhook pods.guard.example is answered by nobody: service webhook/guard does not exist", "api gets no pods: admission webhook pods.guard.example does not answer", "web gets no pods"}},
	{name: "quota-shared", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"the quota small of namespace quota-shared is used up", "The same cause holds for 1 more: quota-shared/web.", "Of pods=0 that the quota allows, pods=0 is used", "kubectl describe resourcequotas"}},
	{name: "quota-unsaid", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"quota compute wants them to say limits.memory"}},
	{name: "priority", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"priority class urgent does not exist"}},
	{name: "runtime", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"runtime class gvisor does not exist"}},
	{name: "limit-range", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"they break the limit range of namespace limit-range", "maximum memory usage per Container is 64Mi"}},
	{name: "security", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"they break the security rules (restricted:latest) of namespace security", "allowPrivilegeEscalation"}},
	{name: "stateful-first", pattern: "crash-loop", entity: "Container db", severity: finding.Critical, says: []string{"cannot open /data", "db has 0 of 3 pods ready: the next ones wait for db-0"}},
	{name: "stateful-service", pattern: "service-missing", entity: "StatefulSet db", severity: finding.Warning, says: []string{"names service dbs, which does not exist", "kubectl create service clusterip dbs"}},
	{name: "cron-refused", pattern: "pods-refused", entity: "CronJob report", severity: finding.Critical, says: []string{"the quota nojobs of namespace cron-refused is used up"}},
	{name: "job-deadline", pattern: "job-failed", entity: "Job report", severity: finding.Warning, says: []string{"it took longer than its deadline"}},
	{name: "certificate", pattern: "certificate-expiry", entity: "Certificate shop-tls", severity: finding.Warning, says: []string{"Secret shop-tls will hold an expired certificate in 3d", "kubectl get secret shop-tls -n certificate"}},
	{name: "ingress-idle", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"Because of this: ", "Ingress web sends to service api, which has no ready pod", "Service api has no ready pod"}},
	{name: "readiness-gate", pattern: "readiness-gate-waits", entity: "Pod api", severity: finding.Warning, says: []string{"nobody meets its readiness gate example.com/lb"}},
}

package signal

// What the objects of Kubernetes tell, by their status and by events about them. A state's value is for how long it holds (s),
// unless it says otherwise here; its attributes are the object's own words.
const (
	// CrashLoop is a container that ends again and again; the value is how often it was restarted. Attributes: `exit_code`,
	// `signal`, `reason`, `message`, `meaning` (the exit code in words), `init` ("true" of an init container), `problem`: `exit`,
	// `signal`, `missing`, `not_executable`, `completed`; `outdated` ("true" of
	// a pod whose StatefulSet was changed since; also of the other states of containers).
	CrashLoop = "k8s.container.crash_loop"
	// OOMKilled is the latest kill of a container for want of memory; the value is how long it is over. Attributes: `restarts`, `qos` (the
	// pod's class).
	OOMKilled = "k8s.container.oom_killed"
	// ImagePull is an image that cannot be had. Attributes: `image`, `reason`, `message`, `problem`: `not_found`, `auth`, `rate_limit`,
	// `network`, `tls`, `name`, `short`, `never`, `platform`, `disk`, or empty.
	ImagePull = "k8s.container.image_pull"
	// ConfigError is a container that cannot be made of its configuration. Attributes: `object_kind`, `object`, `key`, `has` (names of
	// the keys there are), `message`, `problem`: `object`, `key`, or empty.
	ConfigError = "k8s.container.config_error"
	// ContainerNotReady is a container that runs and is not ready, beyond its start-up's grace. Attributes: `probe`, `grace`.
	ContainerNotReady = "k8s.container.not_ready"
	// InitRuns is an init container that runs on. Attributes: `service` that it waits for and that is not there (`problem` `service`),
	// `nearest` (a service whose name is similar).
	InitRuns = "k8s.container.init_runs"
	// ProbeFailed is an event: a probe failed; the value is how often. Attributes: `probe` (liveness, readiness, startup), `message`,
	// `check` (the probe in words).
	ProbeFailed = "k8s.container.probe_failed"
	// ProbeKilled is a container that the kubelet restarts because of a probe, until it has been well for ten minutes. Attributes: `probe`
	// (liveness, startup), `check`, `restarts`, `lately` (how often within the hour, on average), `allowed` (how long the probe lets
	// it fail), `declared`.
	ProbeKilled = "k8s.container.probe_killed"

	// Unschedulable is a pod that no node can take. Attributes: `message`, `nodes`, `problem` (the reason of most nodes), and each
	// reason with its number of nodes: `cpu`, `memory`, `resource`, `taint`, `selector`, `affinity`, `volume`, `ports`, `unready`,
	// `cordoned`; `claim` of a volume that is not bound, `chosen` (the node that it is to be on); `autoscaler` (why
	// that makes no node), `only` (the one node that a pod of a DaemonSet is for).
	Unschedulable = "k8s.pod.unschedulable"
	// ResizeRefused is a change of a running pod's resources that its kubelet does not make. Attributes: `message`, `problem`:
	// `infeasible`, `deferred`, `error`.
	ResizeRefused = "k8s.pod.resize_refused"
	// GateWaits is a pod with ready containers that waits for a readiness gate. Attributes: `gate`, `message`.
	GateWaits = "k8s.pod.gate_waits"
	// PodFailed is a pod of no job that ended with an error and is not started again. Attributes: `reason`, `message`, `exit`,
	// `problem`: `evicted`, or empty; `resource` that the node was low on (memory, storage, pids).
	PodFailed = "k8s.pod.failed"
	// Terminating is an object that is deleted and does not go; the value is how long it is overdue. Attributes: `finalizers`.
	Terminating = "k8s.pod.terminating"
	// MountFailed and SandboxFailed keep a pod's containers from being made. Attributes: `message`, and of MountFailed `volume`,
	// `object_kind`, `object`, `key`, `has`.
	MountFailed   = "k8s.pod.mount_failed"
	SandboxFailed = "k8s.pod.sandbox_failed"

	// RolloutStuck is a deployment that made no progress within its deadline. Attributes: `message`, `ready`, `desired`, `deadline` (s),
	// `first` ("true" where there is no revision to go back to).
	RolloutStuck = "k8s.workload.rollout_stuck"
	// PodsRefused is a workload whose pods the API server does not take. Attributes: `message`, `problem`: `quota`, `webhook`,
	// `service_account`, `security`, `limit_range`, or empty.
	PodsRefused = "k8s.workload.pods_refused"
	// WorkloadShort is a workload that has had too few ready pods for long. Attributes: `ready`, `desired`, `made`, `waits_for`
	// (a pod), `problem`: `unavailable`, `ordered`, `unseen` (no controller took up the change), or empty.
	WorkloadShort = "k8s.workload.short"
	// RolloutPaused is a Deployment with a change that was not rolled out because it is paused. Attributes: `updated`, `desired`.
	RolloutPaused = "k8s.workload.paused"
	// Misscheduled are pods of a DaemonSet on nodes that it is not for. Attributes: `pods`.
	Misscheduled = "k8s.workload.misscheduled"
	// ServiceMissing is a StatefulSet whose service is not there. Attributes: `service`, `nearest`, `selector` (of its pods).
	ServiceMissing = "k8s.workload.service_missing"
	// CronMissed is a CronJob that starts no jobs. Attributes: `schedule`, `message`, `job` (that runs), `problem`: `schedule`, `time_zone`,
	// `missed`, `active` (its job still runs, and it may have only one).
	CronMissed = "k8s.cronjob.missed"
	// AutoscalerStuck is a HorizontalPodAutoscaler that does not scale. Attributes: `target_kind`, `target`, `message`, `resource`,
	// `container`, `unrequested` (containers that request nothing), `api`, `problem`: `target`, `scale`, `request`, `api`, `selector`,
	// `metrics`.
	AutoscalerStuck = "k8s.autoscaler.stuck"
	// AutoscalerLimited is one that would scale further if it were allowed to. Attributes: `target_kind`, `target`, `max`, `load`.
	AutoscalerLimited = "k8s.autoscaler.limited"
	// EvictionBlocked is a PodDisruptionBudget that allows no eviction. Attributes: `rule`, `pods`, `healthy`, `desired`, `of` (the
	// workload), `node` (a cordoned one that has such pods), `other` (a budget of the same pods), `problem`: `never`, `unhealthy`, `sync`,
	// `twice`.
	EvictionBlocked = "k8s.budget.blocks"
	// JobFailed is a job that was given up. Attributes: `reason`, `message`, `indexes` (that failed).
	JobFailed = "k8s.job.failed"

	// NoEndpoints is a service that nothing answers for. Attributes: `selector`, `problem`: `selector`, `port`, `not_ready`, `none`;
	// `nearest` (pods that nearly match), `differs` (the label that differs), `port`, `pods`; `spare` ("true" of one that was made for
	// pods that there need not be).
	NoEndpoints = "k8s.service.no_endpoints"

	// NoAddress is a service of type LoadBalancer that got no address. Attributes: `message`, `class`, `taken` (the finalizer of who has
	// taken it up).
	NoAddress = "k8s.service.no_address"
	// IngressBroken is an ingress that names something that is not there. Attributes: `host`, `class`, `classes` (those there are),
	// `service`, `port`, `has`, `secret`, `nearest`, `problem`: `class`, `no_class`, `service`, `port`, `secret`.
	IngressBroken = "k8s.ingress.broken"
	// GatewayBroken is a gateway class, gateway or route of the Gateway API that names something that is not there, or that its
	// controller does not take. Attributes: `class`, `gateway`, `service`, `nearest`, `has`, `controller`, `listener`, `condition`,
	// `reason`, `message`, `problem`: `class`, `gateway`, `service`, `endpoints`, `refused`, `untaken`.
	GatewayBroken = "k8s.gateway.broken"
	// TrafficDenied is a network policy that keeps a pod from a service which that names as its host. Attributes: `client`, `labels`
	// (the client's), `service`, `admits`.
	TrafficDenied = "k8s.policy.denies"
	// WebhookAway is an admission webhook that nobody answers. Attributes: `webhook`, `service`, `service_namespace`, `policy`
	// (Fail, Ignore), `concerns` (resources), `problem`: `service`, `endpoints`, `certificate`.
	WebhookAway = "k8s.webhook.away"
	// APIAway is a part of the API that an extension should serve. Attributes: `group`, `version`, `service`, `service_namespace`,
	// `reason`, `message`.
	APIAway = "k8s.api.away"
	// DeletionStuck is an object that was deleted and is held. Attributes: `finalizers`, `used_by`; of a namespace `remaining`,
	// `content`, `message`, `problem`: `discovery`, `finalizers`, `content`.
	DeletionStuck = "k8s.object.deletion_stuck"
	// RequestWaits is a request for a certificate that nobody approves. Attributes: `signer`, `who`, `message`, `problem`: `waits`, `failed`.
	RequestWaits = "k8s.certificate_request.waits"

	// Overcommitted is a cluster that has no room for the pods of its largest node. Attributes: `resource`, `asked`, `left`, `percent`, `nodes`.
	Overcommitted = "k8s.cluster.overcommitted"
	// NodeProblem is a condition of a node that is not its kubelet's. Attributes: `condition`, `problem` (in words), `message`.
	NodeProblem = "k8s.node.problem"
	// NodeFlaps is a node that becomes ready and not ready; the value is how often. Attributes: `times`, `last`.
	NodeFlaps = "k8s.node.flaps"
	// NodeNotReady is a node whose kubelet is not ready, or not heard of. Attributes: `reason`, `message`, `problem`: `silent`, `runtime`,
	// `network`, `pleg`, or empty.
	NodeNotReady = "k8s.node.not_ready"
	// NodePressure is a node that is short of something. Attributes: `resource` (memory, disk, pids), `message`, `pods` (those that
	// use the most memory beyond what they requested, where that is known).
	NodePressure = "k8s.node.pressure"
	// VolumeLost is a claim that lost its volume, or a volume that failed. Attributes: `volume`, `message`, `policy`, `problem`:
	// `lost`, `failed`.
	VolumeLost = "k8s.volume.lost"
	// ResizeStuck is a claim that does not get the space it asks for. Attributes: `wants`, `has`, `message`, `problem`: `controller`,
	// `node`, `restart`, `waits` (no resizer).
	ResizeStuck = "k8s.volume.resize_stuck"
	// ClaimUnbound is a claim for a volume that nothing provides. Attributes: `class`, `message`, `problem`: `class`, `no_class`,
	// `provisioner`, or empty.
	ClaimUnbound = "k8s.volume.unbound"
)

package signal

// What the objects of Kubernetes tell, by their status and by events about them. A state's value is for how long it holds (s),
// unless it says otherwise here; its attributes are the object's own words.
const (
	// CrashLoop is a container that ends again and again; the value is how often it was restarted. Attributes: `exit_code`,
	// `signal`, `reason`, `message`, `meaning` (the exit code in words), `init` ("true" of an init container), `problem`: `exit`,
	// `signal`, `missing`, `not_executable`, `completed`.
	CrashLoop = "k8s.container.crash_loop"
	// OOMKilled is the latest kill of a container for want of memory; the value is how long it is over.
	OOMKilled = "k8s.container.oom_killed"
	// ImagePull is an image that cannot be had. Attributes: `image`, `reason`, `message`, `problem`: `not_found`, `auth`, `rate_limit`,
	// `network`, `tls`, `name`, `never`, `platform`, `disk`, or empty.
	ImagePull = "k8s.container.image_pull"
	// ConfigError is a container that cannot be made of its configuration. Attributes: `object_kind`, `object`, `key`, `has` (names of
	// the keys there are), `message`, `problem`: `object`, `key`, or empty.
	ConfigError = "k8s.container.config_error"
	// ContainerNotReady is a container that runs and is not ready, beyond its start-up's grace. Attributes: `probe`, `grace`.
	ContainerNotReady = "k8s.container.not_ready"
	// ProbeFailed is an event: a probe failed; the value is how often. Attributes: `probe` (liveness, readiness, startup), `message`,
	// `check` (the probe in words).
	ProbeFailed = "k8s.container.probe_failed"
	// ProbeKilled is an event: the kubelet restarts a container because of a probe.
	ProbeKilled = "k8s.container.probe_killed"

	// Unschedulable is a pod that no node can take. Attributes: `message`, `nodes`, `problem` (the reason of most nodes), and each
	// reason with its number of nodes: `cpu`, `memory`, `resource`, `taint`, `selector`, `affinity`, `volume`, `ports`, `unready`,
	// `cordoned`; `claim` of a volume that is not bound.
	Unschedulable = "k8s.pod.unschedulable"
	// PodFailed is a pod of no job that ended with an error and is not started again. Attributes: `reason`, `message`, `exit`,
	// `problem`: `evicted`, or empty; `resource` that the node was low on (memory, storage, pids).
	PodFailed = "k8s.pod.failed"
	// Terminating is an object that is deleted and does not go; the value is how long it is overdue. Attributes: `finalizers`.
	Terminating = "k8s.pod.terminating"
	// MountFailed and SandboxFailed keep a pod's containers from being made. Attributes: `message`, and of MountFailed `volume`,
	// `object_kind`, `object`, `key`, `has`.
	MountFailed   = "k8s.pod.mount_failed"
	SandboxFailed = "k8s.pod.sandbox_failed"

	// RolloutStuck is a deployment that made no progress within its deadline. Attributes: `message`, `ready`, `desired`, `deadline` (s).
	RolloutStuck = "k8s.workload.rollout_stuck"
	// PodsRefused is a workload whose pods the API server does not take. Attributes: `message`, `problem`: `quota`, `webhook`,
	// `service_account`, `security`, `limit_range`, or empty.
	PodsRefused = "k8s.workload.pods_refused"
	// JobFailed is a job that was given up. Attributes: `reason`, `message`.
	JobFailed = "k8s.job.failed"

	// NoEndpoints is a service that nothing answers for. Attributes: `selector`, `problem`: `selector`, `port`, `not_ready`, `none`;
	// `nearest` (pods that nearly match), `differs` (the label that differs), `port`, `pods`.
	NoEndpoints = "k8s.service.no_endpoints"

	// NodeNotReady is a node whose kubelet is not ready, or not heard of. Attributes: `reason`, `message`, `problem`: `silent`, `runtime`,
	// `network`, `pleg`, or empty.
	NodeNotReady = "k8s.node.not_ready"
	// NodePressure is a node that is short of something. Attributes: `resource` (memory, disk, pids), `message`.
	NodePressure = "k8s.node.pressure"
	// ClaimUnbound is a claim for a volume that nothing provides. Attributes: `class`, `message`, `problem`: `class`, `no_class`,
	// `provisioner`, or empty.
	ClaimUnbound = "k8s.volume.unbound"
)

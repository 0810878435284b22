// Package entity names what signals are about: a container, a pod, a systemd unit, a bare cgroup, a node.
package entity

import (
	"strings"

	"github.com/your-org/tapio/internal/finding"
)

// Kind is the type of an entity, as people call it. Kubernetes' own kinds keep their names.
type Kind string

// The kinds of entities that exist today.
const (
	Container Kind = "Container"
	Pod       Kind = "Pod"
	Unit      Kind = "Unit"
	Cgroup    Kind = "Cgroup"
	Node      Kind = "Node"
	// Process is what serves metrics of its own; Filesystem is known by its mountpoint, Volume by its claim, Certificate by where it
	// is shown.
	Process     Kind = "Process"
	Filesystem  Kind = "Filesystem"
	Volume      Kind = "Volume"
	Certificate Kind = "Certificate"
	// Device is a disk, or a part of one, known by its name on its node.
	Device Kind = "Device"
	// Workloads and services of Kubernetes are known by their names.
	Deployment  Kind = "Deployment"
	ReplicaSet  Kind = "ReplicaSet"
	StatefulSet Kind = "StatefulSet"
	DaemonSet   Kind = "DaemonSet"
	Job         Kind = "Job"
	CronJob     Kind = "CronJob"
	Service     Kind = "Service"
	// Further objects of Kubernetes, known by their names too. Volume is a PersistentVolumeClaim, which is what people know.
	Autoscaler         Kind = "HorizontalPodAutoscaler"
	Budget             Kind = "PodDisruptionBudget"
	Ingress            Kind = "Ingress"
	NetworkPolicy      Kind = "NetworkPolicy"
	ValidatingWebhook  Kind = "ValidatingWebhookConfiguration"
	MutatingWebhook    Kind = "MutatingWebhookConfiguration"
	APIService         Kind = "APIService"
	Namespace          Kind = "Namespace"
	PersistentVolume   Kind = "PersistentVolume"
	CertificateRequest Kind = "CertificateSigningRequest"
	GatewayClass       Kind = "GatewayClass"
	Gateway            Kind = "Gateway"
	HTTPRoute          Kind = "HTTPRoute"
	// Cluster is all of it.
	Cluster Kind = "Cluster"
)

// Kinds are those above. Objects of Kubernetes that events are about may be of others.
var Kinds = []Kind{Container, Pod, Unit, Cgroup, Node, Process, Filesystem, Volume, Certificate, Device, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job,
	CronJob, Service, Autoscaler, Budget, Ingress, NetworkPolicy, ValidatingWebhook, MutatingWebhook, APIService, Namespace, PersistentVolume,
	CertificateRequest, GatewayClass, Gateway, HTTPRoute, Cluster}

// ID identifies an entity across processes and restarts: its kind and the key that the platform gives it. It contains
// the node's name for what exists per node only (units, bare cgroups).
type ID string

// Entity is something that can fail. The zero value is no entity.
type Entity struct {
	ID   ID
	Kind Kind
	// Name is what people call it: the pod's name for containers of a pod, the unit's name, the cgroup's path.
	Name      string
	Namespace string
	Container string
	UID       string
	Node      string
	Owner     *finding.Owner
	// Address is the IP address of a pod, where it has one of its own and it is known.
	Address string
	// ContainerID is the runtime's id, where there is one.
	ContainerID string
	// CgroupPath is where the entity's processes are accounted, below the mount point. It orders entities by containment.
	CgroupPath string
	// CgroupVersion is "1" or "2", or empty when not known.
	CgroupVersion string
}

// Attributes are the resource attributes that identify entities, under the names of the semantic conventions and, where
// these have none, Tapio's own.
type Attributes interface {
	// String returns the attribute's value, or "".
	String(name string) string
}

// The resource attributes that New reads.
const (
	AttrContainerID   = "container.id"
	AttrContainerName = "k8s.container.name"
	AttrPlainName     = "container.name"
	AttrPodUID        = "k8s.pod.uid"
	AttrPodName       = "k8s.pod.name"
	AttrPodIP         = "k8s.pod.ip"
	AttrNamespace     = "k8s.namespace.name"
	AttrNode          = "k8s.node.name"
	AttrHost          = "host.name"
	AttrUnit          = "systemd.unit"
	AttrCgroup        = "cgroup.path"
	AttrCgroupVersion = "cgroup.version"
	AttrMountpoint    = "system.filesystem.mountpoint"
	AttrClaim         = "k8s.persistentvolumeclaim.name"
	AttrTLSTarget     = "tls.target"
	AttrDevice        = "system.device"
	AttrService       = "service.name"
	AttrInstance      = "service.instance.id"
	AttrKubeService   = "k8s.service.name"
	// Objects for which the conventions have no attribute, as the k8sevents receiver names them.
	AttrObjectKind = "k8s.object.kind"
	AttrObjectName = "k8s.object.name"
)

// workloads are the semantic conventions' attributes that name the owner of a pod, the most useful to a person first.
var workloads = []struct{ attribute, kind string }{
	{"k8s.deployment.name", "Deployment"},
	{"k8s.statefulset.name", "StatefulSet"},
	{"k8s.daemonset.name", "DaemonSet"},
	{"k8s.cronjob.name", "CronJob"},
	{"k8s.job.name", "Job"},
	{"k8s.replicaset.name", "ReplicaSet"},
}

// New returns the entity that resource attributes describe, the most specific one they name; node is the name of the node
// where they say none. It returns false when they name nothing that Tapio knows.
func New(a Attributes, node string) (Entity, bool) {
	e := Entity{
		Namespace:   a.String(AttrNamespace),
		Container:   a.String(AttrContainerName),
		UID:         a.String(AttrPodUID),
		Address:     a.String(AttrPodIP),
		ContainerID: a.String(AttrContainerID),
		CgroupPath:  a.String(AttrCgroup),

		CgroupVersion: a.String(AttrCgroupVersion),
		Node:          first(a.String(AttrNode), a.String(AttrHost), node),
	}
	for _, w := range workloads {
		if name := a.String(w.attribute); name != "" {
			e.Owner = &finding.Owner{Kind: w.kind, Name: name}
			break
		}
	}
	if e.CgroupPath == "/" { // all of the machine
		e.CgroupPath = ""
	}
	pod, unit := a.String(AttrPodName), a.String(AttrUnit)
	mountpoint, claim, target := a.String(AttrMountpoint), a.String(AttrClaim), a.String(AttrTLSTarget)
	device := a.String(AttrDevice)
	switch {
	case mountpoint != "":
		return Entity{Kind: Filesystem, ID: ID("filesystem:" + e.Node + ":" + mountpoint), Name: mountpoint, Node: e.Node}, true
	case claim != "":
		return Entity{Kind: Volume, ID: ID("volume:" + e.Namespace + "/" + claim), Namespace: e.Namespace, Name: claim, Node: e.Node}, true
	case device != "":
		return Entity{Kind: Device, ID: ID("device:" + e.Node + ":" + device), Name: device, Node: e.Node}, true
	case target != "":
		return Entity{Kind: Certificate, ID: ID("certificate:" + target), Name: target}, true
	case e.ContainerID != "":
		e.Kind, e.ID = Container, ID("container:"+e.ContainerID)
		e.Name = first(pod, a.String(AttrPlainName), short(e.ContainerID))
	case e.UID != "" && e.Container != "":
		e.Kind, e.ID = Container, byPod(e.UID, e.Container)
		e.Name = first(pod, e.UID)
	case e.UID != "":
		e.Kind, e.ID = Pod, ID("pod:"+e.UID)
		e.Name = first(pod, e.UID)
	case pod != "" && e.Container != "":
		e.Kind, e.ID, e.Name = Container, ID("container:"+e.Namespace+"/"+pod+"/"+e.Container), pod
	case pod != "":
		e.Kind, e.ID, e.Name = Pod, ID("pod:"+e.Namespace+"/"+pod), pod
	case unit != "":
		e.Kind, e.ID, e.Name = Unit, ID("unit:"+e.Node+":"+unit), unit
	case e.CgroupPath != "":
		e.Kind, e.ID, e.Name = Cgroup, ID("cgroup:"+e.Node+":"+e.CgroupPath), strings.TrimPrefix(e.CgroupPath, "/")
	case a.String(AttrNode) != "" || a.String(AttrHost) != "":
		e.Kind, e.ID, e.Name = Node, ID("node:"+e.Node), e.Node
	case a.String(AttrInstance) != "":
		e.Kind, e.ID = Process, ID("process:"+a.String(AttrService)+":"+a.String(AttrInstance))
		e.Name = first(a.String(AttrService), a.String(AttrInstance))
	case a.String(AttrKubeService) != "":
		return Named(Service, e.Namespace, a.String(AttrKubeService)), true
	case e.Owner != nil:
		return Named(Kind(e.Owner.Kind), e.Namespace, e.Owner.Name), true
	case a.String(AttrObjectKind) != "" && a.String(AttrObjectName) != "":
		return Named(Kind(a.String(AttrObjectKind)), e.Namespace, a.String(AttrObjectName)), true
	default:
		return Entity{}, false
	}
	return e, true
}

// Named is an entity of Kubernetes that is known by its kind, namespace and name.
func Named(kind Kind, namespace, name string) Entity {
	return Entity{Kind: kind, ID: ID(strings.ToLower(string(kind)) + ":" + namespace + "/" + name), Namespace: namespace, Name: name}
}

// byPod is the id of a container whose own id is not known.
func byPod(uid, container string) ID { return ID("container:" + uid + "/" + container) }

// Alias is the id that a container has for sources which do not know its own id; empty where there is none. When a container
// is restarted, the alias passes on to the next.
func (e Entity) Alias() ID {
	if e.ContainerID == "" || e.UID == "" || e.Container == "" {
		return ""
	}
	return byPod(e.UID, e.Container)
}

// Workload is the key under which an entity's past is remembered: what stays the same when a container is restarted, or
// replaced by another replica.
func (e Entity) Workload() string {
	switch {
	case e.Owner != nil:
		return strings.Join([]string{string(e.Kind), e.Namespace, e.Owner.Kind, e.Owner.Name, e.Container}, "/")
	case e.UID != "" && e.Container != "":
		return string(byPod(e.UID, e.Container))
	}
	return string(e.ID)
}

// Finding is the entity in the form of a finding's JSON.
func (e Entity) Finding() finding.Entity {
	f := finding.Entity{Kind: string(e.Kind), Namespace: e.Namespace, Name: e.Name, Container: e.Container, UID: e.UID, ContainerID: e.ContainerID, Node: e.Node}
	if e.Owner != nil {
		o := *e.Owner
		f.Owner = &o
	}
	if f.UID == "" {
		f.UID = e.ContainerID
	}
	return f
}

func first(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// short cuts a container id to the length that container tools print.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// Package finding defines what Tapio tells people: a prediction or a diagnosis, as Go values and as the JSON that the
// findings endpoint serves, `tapio check -o json` prints, and people script against. The JSON is stable: fields are
// added, never renamed. Its JSON Schema is schema.json.
package finding

import (
	"encoding/json"
	"time"
)

// APIVersion is the version of the JSON form; a reader refuses any other.
const APIVersion = "tapio/v1"

// DefaultEndpoint is where a collector serves findings, and where the CLI looks for them.
const DefaultEndpoint = "localhost:4320"

// Kind says whether a finding is about the future or the present.
type Kind string

// The kinds of a finding.
const (
	Prediction Kind = "prediction"
	Diagnosis  Kind = "diagnosis"
)

// Severity is the impact of a finding on users of the entity.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Rank orders severities: the higher, the worse; 0 is unknown.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 3
	case Warning:
		return 2
	case Info:
		return 1
	}
	return 0
}

// State is where a finding is in its life. Pending findings are not served.
type State string

// The states of a finding that people see.
const (
	Active   State = "active"
	Resolved State = "resolved"
)

// Layer is where a piece of evidence was observed.
type Layer string

// The layers of a node and of a cluster.
const (
	LayerEBPF       Layer = "ebpf"
	LayerCgroup     Layer = "cgroup"
	LayerHost       Layer = "host"
	LayerJournald   Layer = "journald"
	LayerSystemd    Layer = "systemd"
	LayerRuntime    Layer = "runtime"
	LayerKubernetes Layer = "kubernetes"
)

// Risk is what applying a remedy can cost.
type Risk string

// The risks of a remedy.
const (
	RiskNone Risk = "none"
	RiskLow  Risk = "low"
	RiskHigh Risk = "high"
)

// Report is one answer of a findings source: everything it knows at GeneratedAt.
type Report struct {
	APIVersion  string     `json:"apiVersion"`
	GeneratedAt time.Time  `json:"generatedAt"`
	Source      Source     `json:"source"`
	Coverage    []Coverage `json:"coverage"`
	Summary     Summary    `json:"summary"`
	// Watched counts, by kind, the entities that have a limit, and those that active findings are about.
	Watched map[string]int `json:"watched,omitempty"`
	// Ready counts the workloads that are fully available, by kind.
	Ready map[string]Ready `json:"ready,omitempty"`
	// Learning are entities whose forecast has too few samples yet, some of LearningTotal.
	Learning      []Learning `json:"learning,omitempty"`
	LearningTotal int        `json:"learningTotal,omitempty"`
	Findings      []Finding  `json:"findings"`
}

// Ready is how many workloads there are, and how many have all the replicas they want.
type Ready struct {
	Available int `json:"available"`
	Total     int `json:"total"`
}

// Source names what produced a report.
type Source string

// The sources of a report.
const (
	SourceCollector Source = "collector"
	SourceAPIServer Source = "api-server"
)

// CoverageState is how well a layer is observed.
type CoverageState string

// The coverage states.
const (
	CoverageOK       CoverageState = "ok"
	CoverageDegraded CoverageState = "degraded"
	CoverageAbsent   CoverageState = "absent"
)

// Gauge is the state as metrics tell it: 1 ok, 0.5 degraded, 0 absent, or not known.
func (s CoverageState) Gauge() float64 {
	switch s {
	case CoverageOK:
		return 1
	case CoverageDegraded:
		return 0.5
	}
	return 0
}

// Coverage says how well one layer is observed, and why not better.
type Coverage struct {
	Layer  Layer         `json:"layer"`
	State  CoverageState `json:"state"`
	Reason string        `json:"reason,omitempty"`
	// Cluster is the cluster that this is said of, where the source looks at several.
	Cluster string `json:"cluster,omitempty"`
}

// Summary counts the entities that were looked at, each by its worst active finding.
type Summary struct {
	Healthy  int `json:"healthy"`
	Warning  int `json:"warning"`
	Critical int `json:"critical"`
}

// Finding is one prediction or diagnosis about one entity. ID is stable across updates and restarts.
type Finding struct {
	ID       string   `json:"id"`
	Kind     Kind     `json:"kind"`
	Pattern  string   `json:"pattern"`
	Severity Severity `json:"severity"`
	State    State    `json:"state"`
	// Title is the display sentence. A prediction's ends with the time left as of LastSeen; TitleAt counts it down.
	Title       string `json:"title"`
	Explanation string `json:"explanation"`
	// Brief is what is the matter now, in a few words: "Memory usage at 85% of limit".
	Brief      string     `json:"brief,omitempty"`
	Entity     Entity     `json:"entity"`
	Peer       *Peer      `json:"peer,omitempty"`
	Confidence float64    `json:"confidence"`
	Forecast   *Forecast  `json:"prediction,omitempty"`
	Outcome    *Outcome   `json:"outcome,omitempty"`
	Evidence   []Evidence `json:"evidence"`
	Series     *Series    `json:"series,omitempty"`
	Causes     []string   `json:"causes,omitempty"`
	Effects    []string   `json:"effects,omitempty"`
	// Affected are the entities that the effects are about, and the namespaces that something outside of all namespaces concerns: who
	// asks about one of them is told this finding. They are some of AffectedTotal.
	Affected      []Entity `json:"affected,omitempty"`
	AffectedTotal int      `json:"affectedTotal,omitempty"`
	Remedies      []Remedy `json:"remedies,omitempty"`
	// Shared names what findings of one pattern have in common when they have one cause. It serves to fold them, and is not told.
	Shared string `json:"-"`
	// OwnCause says that nothing else explains it. It serves the folding too.
	OwnCause  bool      `json:"-"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
}

// Entity is what a finding is about, in the words of the platform: Container, Pod, Unit, Cgroup, Node, …
type Entity struct {
	Kind string `json:"kind"`
	// Cluster is the kubeconfig's name of the context under which the cluster was looked at, or what the source calls it.
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Container string `json:"container,omitempty"`
	UID       string `json:"uid,omitempty"`
	// ContainerID is the id that the container has at its runtime, where it is known.
	ContainerID string `json:"containerId,omitempty"`
	Node        string `json:"node,omitempty"`
	Owner       *Owner `json:"owner,omitempty"`
}

// Owner is the workload that an entity belongs to.
type Owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Peer is whom the entity wants to reach: by its address and port, and, where it is known, by the object of Kubernetes that has the
// address.
type Peer struct {
	Address   string `json:"address"`
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Forecast is when the predicted event will happen: At, and between Earliest and Latest with probability Coverage.
type Forecast struct {
	Event    string    `json:"event"`
	At       time.Time `json:"at"`
	Earliest time.Time `json:"earliest"`
	Latest   time.Time `json:"latest"`
	Coverage float64   `json:"coverage"`
}

// Outcome compares a diagnosis with the prediction that preceded it.
type Outcome struct {
	// Prediction is the id of the preceding prediction.
	Prediction string `json:"prediction"`
	// PredictedAt is when the event was predicted to happen, as said at MadeAt.
	PredictedAt time.Time `json:"predictedAt"`
	// MadeAt is when the prediction was first made.
	MadeAt time.Time `json:"madeAt"`
	// ActualAt is when it happened.
	ActualAt time.Time `json:"actualAt"`
	// ErrorSeconds is PredictedAt − ActualAt: positive when the event came earlier than predicted.
	ErrorSeconds float64 `json:"errorSeconds"`
	// WithinInterval says whether ActualAt lay between the earliest and latest time said at MadeAt.
	WithinInterval bool `json:"withinInterval"`
}

// Evidence is one observed fact that a finding rests on.
type Evidence struct {
	Time   time.Time `json:"time"`
	Layer  Layer     `json:"layer"`
	Signal string    `json:"signal"`
	Text   string    `json:"text"`
	// Value is the observed quantity, in Unit (UCUM, as in OpenTelemetry: By, By/min, 1, s); absent when there is none.
	Value *float64 `json:"value,omitempty"`
	Unit  string   `json:"unit,omitempty"`
}

// Series is the recent course of the resource that a finding is about, oldest first, for sparklines. It is bounded.
type Series struct {
	Resource string    `json:"resource"`
	Unit     string    `json:"unit"`
	Limit    float64   `json:"limit"`
	Start    time.Time `json:"start"`
	// StepSeconds is the distance between two values.
	StepSeconds float64   `json:"stepSeconds"`
	Values      []float64 `json:"values"`
}

// Remedy is something that helps. Command and Patch are shown to people; nothing is applied unless they ask for it.
type Remedy struct {
	ID      string          `json:"id"`
	Title   string          `json:"title"`
	Risk    Risk            `json:"risk"`
	Command string          `json:"command,omitempty"`
	Patch   json.RawMessage `json:"patch,omitempty"`
}

// Display is the short name people know an entity by.
func (e Entity) Display() string {
	switch {
	case e.Owner != nil && e.Owner.Name != "":
		return e.Owner.Name
	case e.Container != "" && e.Name != "":
		return e.Name + "/" + e.Container
	case e.Container != "":
		return e.Container
	}
	return e.Name
}

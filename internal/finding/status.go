package finding

import "time"

// Status is what a source of findings says of itself: how well it sees, how much it watches, and for what it is too early
// to say anything.
type Status struct {
	Time time.Time
	// Node names the source.
	Node     string
	Coverage []Coverage
	// Watched counts, by kind, the entities that have a limit, and those that active findings are about.
	Watched map[string]int
	// Ready counts the workloads that are fully available, by kind.
	Ready map[string]Ready
	// Learning are entities whose forecast has too few samples yet; at most 20 of LearningTotal are named.
	Learning      []Learning
	LearningTotal int
}

// Learning is an entity whose forecast has too few samples yet.
type Learning struct {
	Entity   Entity `json:"entity"`
	Resource string `json:"resource"`
	Samples  int    `json:"samples"`
	Needed   int    `json:"needed"`
}

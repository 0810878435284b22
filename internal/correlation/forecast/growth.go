package forecast

// growth is how the level got to where it is: by what was gained and never given back.
type growth struct {
	trend          // units per second
	level  float64 // now
	gain   float64 // what was gained and kept
	since  float64 // for how long, in seconds
	active float64 // how long the latest nine tenths of the gain took
	stall  float64 // for how long the level has been where it is
	usual  float64 // the longest of its earlier stays
	step   float64 // a move by less than this is a stay
}

// youth is the share of a life that doesn't count: whatever starts takes memory first, which is no growth.
const youth = 0.1

// grow looks at the retained course. It returns false when there is too little of it, or when nothing was gained.
func grow(r *retained, limit, noise float64) (growth, bool) {
	var g growth
	if latest-r.first+1 < fewest {
		return g, false
	}
	begin := r.first
	for begin < latest && r.t[begin] < r.t[r.first]*(1-youth) {
		begin++
	}
	top := r.kept[latest]
	g.step = max(0.01*limit, 2*noise)
	g.gain, g.since = top-r.kept[begin], max(-r.t[begin], 1)
	if g.gain < g.step {
		return g, false
	}
	second := g.stays(r, begin)
	risen := max(r.since(top-0.9*g.gain)-1, begin)
	g.active = -r.t[risen]
	// A rate is taken over the last time the level rose by as much as is left to rise; if it rises in stairs, over more than
	// one of them.
	back := func(height float64) int {
		i := r.since(top-height) - 1
		for i > risen && -r.t[i] < 1.5*second {
			i--
		}
		return max(i, begin)
	}
	height := max(limit-top, 3*g.step)
	g.level = r.rough[latest]
	g.trend = r.trend(begin, back(2*height), back(height), back(height/2), g.step/6)
	return g, g.slope > 0
}

// stays measures how long the level stays where it is: now, and at the longest and second-longest of its earlier stays.
func (g *growth) stays(r *retained, begin int) (second float64) {
	top, from := r.kept[latest], begin
	for j := begin; j <= latest; j++ {
		for from < j && r.kept[from] <= r.kept[j]-g.step {
			from++
		}
		stay := r.t[j] - r.t[max(from-1, r.first)]
		switch {
		case j == latest:
			g.stall = stay
		case from == begin || r.kept[j] >= top-g.step: // the first one began before, the last one isn't over
		case j < latest-1 && r.kept[j+1]-r.kept[from] < g.step: // it goes on
		case stay > g.usual:
			second, g.usual = g.usual, stay
		default:
			second = max(second, stay)
		}
	}
	return second
}

package forecast

import "math"

// retained is the course without what was given back again: at each time the least that there has been since. What a garbage
// collector, a wave or a burst takes for a while is not in it; a leak is.
type retained struct {
	t       [most]float64 // seconds before now, so never above 0
	kept    [most]float64 // the least since then
	rough   [most]float64 // the same, but with the noise left in: lines through kept would be too low in the past
	samples [most]float64 // how many samples the point stands for
	first   int           // the oldest point; the latest is at most-1
}

const latest = most - 1

// fill works r out. What a rise since the last fall owes to swings, up to explained, doesn't count as kept; noise is how far
// the course may lie above kept and still be noise.
func (r *retained) fill(c *course, now, explained, noise float64, w *swings) {
	r.first = most
	floor := math.Inf(1)
	samples := 1.0
	for row := range rows {
		for j := int(c.n[row]) - 1; j >= 0; j-- {
			p := &c.rows[row][j]
			y := p.low
			if explained > 0 && p.t > w.FloorAt {
				y = w.Floor + max(0, y-w.Floor-explained)
			}
			floor = min(floor, y)
			r.first--
			i := r.first
			r.t[i], r.kept[i], r.rough[i], r.samples[i] = p.t-now, floor, min(y, floor+noise), samples
		}
		samples *= 2
	}
}

// since is the first point from which on all was above y.
func (r *retained) since(y float64) int {
	i := latest
	for i > r.first && r.kept[i-1] > y {
		i--
	}
	return i
}

// sums are those of a least-squares line through weighted points.
type sums struct{ w, t, y, tt, ty, yy float64 }

func (s *sums) add(t, y, w float64) {
	s.w += w
	s.t += w * t
	s.y += w * y
	s.tt += w * t * t
	s.ty += w * t * y
	s.yy += w * y * y
}

// line returns the slope, and the mean squared distance of the points from the line.
func (s *sums) line() (slope, rest float64) {
	mt, my := s.t/s.w, s.y/s.w
	stt, sty, syy := s.tt/s.w-mt*mt, s.ty/s.w-mt*my, s.yy/s.w-my*my
	if stt <= 0 {
		return 0, 0
	}
	slope = sty / stt
	return slope, max(syy-slope*sty, 0)
}

// fewest is how many points a line needs.
const fewest = 6

// inflation widens the error of a slope: neighbouring samples resemble each other, so that there is less news in them than
// their number says.
const inflation = 4

// trend is the straight line that a course has followed up to now.
type trend struct {
	slope, err  float64 // and its standard error
	scatter     float64 // standard deviation of the points about it
	short, long float64 // the slopes over a shorter and a longer past
}

// trend finds the longest stretch up to now that is straight. It starts with the stretch from at on and goes back, at most to
// begin, while the slope of the longer stretch is within the errors of all shorter ones (Lepski's rule): as much as possible
// is averaged, and nothing of another growth. The slopes from short on and from long on come from the same pass; long is
// begin at the earliest. noise is the error that a single point has at least.
func (r *retained) trend(begin, long, at, short int, noise float64) trend {
	var s sums
	var got trend
	last := most - fewest // the latest point at which a line may begin
	begin, long, at, short = max(min(begin, last), r.first), min(long, last), min(at, last), min(short, last)
	low, high, next, straight := math.Inf(-1), math.Inf(1), 0.0, true
	base := r.kept[latest]
	for i := latest; i >= begin; i-- {
		s.add(r.t[i], r.rough[i]-base, r.samples[i])
		if i == short {
			got.short, _ = s.line()
		}
		if i == long {
			got.long, _ = s.line()
		}
		if i > at || -r.t[i] < next {
			continue
		}
		if !straight {
			if i < long {
				break
			}
			continue
		}
		b, rest := s.line()
		e := inflation * math.Sqrt((rest+noise*noise)*12/s.w) / max(-r.t[i], 1)
		low, high = max(low, b-e), min(high, b+e)
		if straight = low <= high; straight {
			got.slope, got.err, got.scatter = b, e, math.Sqrt(rest)
			next = -1.2 * r.t[i]
		}
	}
	return got
}

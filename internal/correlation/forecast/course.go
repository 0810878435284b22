package forecast

// A course keeps the past at a resolution in proportion to its age: the latest points one by one, older ones in pairs, then
// in fours, and so on. What a course of any length takes is fixed, and a change is seen as sharply as it is recent.
const (
	rows    = 13 // each point of a row covers twice as many samples as one of the row before
	columns = 12
	most    = rows * columns
)

// point is a stretch of time: when it began, in seconds since the origin, and the least that was in use.
type point struct{ t, low float64 }

type course struct {
	rows [rows][columns]point
	n    [rows]uint8
}

// add appends a point. A full row hands the oldest two on as one; the last row forgets them.
func (c *course) add(p point) {
	for i := range rows {
		if c.n[i] < columns {
			c.rows[i][c.n[i]] = p
			c.n[i]++
			return
		}
		a, b := c.rows[i][0], c.rows[i][1]
		copy(c.rows[i][:], c.rows[i][2:])
		c.rows[i][columns-2] = p
		c.n[i] = columns - 1
		p = point{t: a.t, low: min(a.low, b.low)}
	}
}

package symbols

import "sync/atomic"

// Room is how much memory may go to what files say of themselves (bytes), of all that share it; nil: each file has its own bounds only.
type Room struct{ left atomic.Int64 }

// NewRoom returns one of so many bytes.
func NewRoom(bytes int64) *Room {
	r := new(Room)
	r.left.Store(bytes)
	return r
}

// Take says whether there is room for so many bytes more, and takes it then.
func (r *Room) Take(bytes int) bool {
	if r == nil || r.left.Add(-int64(bytes)) >= 0 {
		return true
	}
	r.Give(bytes)
	return false
}

// Give gives back what was taken.
func (r *Room) Give(bytes int) {
	if r != nil {
		r.left.Add(int64(bytes))
	}
}

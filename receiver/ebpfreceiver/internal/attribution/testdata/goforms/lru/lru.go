// Package lru is a dependency's cache whose bound nobody has set.
package lru

// Cache keeps all that is added to it.
type Cache struct{ items map[int]*item }

type item struct {
	value [15]int
	of    *Cache
}

// New makes an empty cache.
func New() *Cache { return &Cache{items: map[int]*item{}} }

// Add keeps n.
//
//go:noinline
func (c *Cache) Add(n int) {
	c.items[len(c.items)] = &item{value: [15]int{n}, of: c}
}

// Table keeps values by key.
type Table[K comparable, V any] struct{ all map[K]*V }

//go:noinline
func (t *Table[K, V]) Put(key K, v V) {
	if t.all == nil {
		t.all = map[K]*V{}
	}
	t.all[key] = &v
}

// Len is how many there are.
func (t *Table[K, V]) Len() int { return len(t.all) }

// Log keeps what it is given.
type Log struct{ all [][]byte }

//go:noinline
func (l *Log) Store(b []byte) { l.all = append(l.all, append([]byte(nil), b...)) }

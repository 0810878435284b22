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

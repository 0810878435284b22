// Package objects turns objects of the Kubernetes API into signals: what their status, the events about them and the relations
// between them tell. The objects come as the log records of the k8sobjects receiver, whoever listed them.
package objects

import (
	"cmp"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	// maxObjects bounds the objects of one kind; more are dropped and counted.
	maxObjects = 200_000
	// maxEvents bounds the events that are kept for one object; the oldest go first.
	maxEvents = 32
)

// key names an object within its kind.
type key struct{ namespace, name string }

func (o object) key() key { return key{o.namespace(), o.name()} }

// Cluster is a view of a cluster's objects. It is not safe for concurrent use.
type Cluster struct {
	kinds map[string]map[key]object // by resource name: pods, services, …
	// listed are the resources that were seen as a whole: only of these is the absence of an object known.
	listed map[string]bool
	// scope is the one namespace that was looked at; empty: all.
	scope string
	// absent are objects that were asked for by name and are not there.
	absent map[Reference]bool
	// selecting are the services by when they were last seen to select a pod.
	selecting map[key]time.Time
	events    map[reference][]object
	usage     map[key]map[string]Usage // of containers, by pod
	dropped   int
}

// reference is what an event is about.
type reference struct {
	kind string
	key
}

// New returns an empty view.
func New() *Cluster {
	return &Cluster{kinds: map[string]map[key]object{}, listed: map[string]bool{}, absent: map[Reference]bool{}, events: map[reference][]object{}, usage: map[key]map[string]Usage{}}
}

// Listed notes that all objects of a resource, such as `services`, have been observed.
func (c *Cluster) Listed(resource string) { c.listed[resource] = true }

// Unlisted notes that there may be objects of a resource that have not been observed.
func (c *Cluster) Unlisted(resource string) { delete(c.listed, resource) }

// Within notes that only one namespace is looked at: of the others it is not known what there is.
func (c *Cluster) Within(namespace string) { c.scope = namespace }

// Absent notes that an object which was asked for is not there.
func (c *Cluster) Absent(r Reference) { c.absent[r] = true }

// sees says whether all objects of a resource in a namespace are known, so that one that is not known is not there; namespace is
// empty for what is in none.
func (c *Cluster) sees(resource, namespace string) bool {
	return c.listed[resource] && (c.scope == "" || namespace == "" || c.scope == namespace)
}

// get is one object; it has nothing where it is not known.
func (c *Cluster) get(resource, namespace, name string) object {
	return c.kinds[resource][key{namespace, name}]
}

// lacks says whether an object is known not to be there.
func (c *Cluster) lacks(resource, namespace, name string) bool {
	return c.absent[Reference{resource, namespace, name}] || c.sees(resource, namespace) && !c.get(resource, namespace, name).ok
}

// Dropped is how many objects and events were beyond a bound.
func (c *Cluster) Dropped() int { return c.dropped }

// Count is how many objects of a resource there are.
func (c *Cluster) Count(resource string) int { return len(c.kinds[resource]) }

// Take takes in an object of a resource, such as `pods`: a pointer to a struct of k8s.io/api, or the map of its JSON. The object is
// kept, and must not be changed after.
func (c *Cluster) Take(resource string, o any) { c.take(resource, "", of(o)) }

// Remove takes out an object that is no longer there.
func (c *Cluster) Remove(resource string, o any) { c.take(resource, "DELETED", of(o)) }

// Clear forgets all objects of a resource, so that they can be taken in anew.
func (c *Cluster) Clear(resource string) {
	delete(c.kinds, resource)
	if resource == "events" {
		clear(c.events)
	}
}

// Observe takes in objects in the form that the k8sobjects receiver gives them: the object as body when it was pulled, or as the
// body's `object` beside the `type` of the change when it was watched; attribute k8s.resource.name names the resource.
func (c *Cluster) Observe(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				resource, ok := r.Attributes().Get("k8s.resource.name")
				if !ok || r.Body().Type() != pcommon.ValueTypeMap {
					continue
				}
				o := of(r.Body().Map().AsRaw())
				change := o.str("type")
				if watched := o.child("object"); watched.ok && change != "" && !o.has("metadata") {
					o = watched
				} else {
					change = ""
				}
				c.take(resource.AsString(), change, o)
			}
		}
	}
}

func (c *Cluster) take(resource, change string, o object) {
	if o.name() == "" || change == "BOOKMARK" || change == "ERROR" {
		return
	}
	if resource == "events" {
		c.happened(o, change == "DELETED")
		return
	}
	all := c.kinds[resource]
	if all == nil {
		all = map[key]object{}
		c.kinds[resource] = all
	}
	if change == "DELETED" {
		if delete(all, o.key()); resource == "pods" {
			delete(c.usage, o.key())
		}
		return
	}
	if _, known := all[o.key()]; !known && len(all) >= maxObjects {
		c.dropped++
		return
	}
	all[o.key()] = o
	delete(c.absent, Reference{resource, o.namespace(), o.name()})
}

// happened notes an event with the object it is about: involvedObject in v1, regarding in events.k8s.io. One that is over is known
// no more.
func (c *Cluster) happened(e object, over bool) {
	about := e.child("involvedObject")
	if !about.ok {
		about = e.child("regarding")
	}
	ref := reference{about.str("kind"), key{about.str("namespace"), about.str("name")}}
	if ref.name == "" {
		return
	}
	list, known := c.events[ref]
	if !known && len(c.events) >= maxObjects {
		c.dropped++
		return
	}
	uid := e.uid()
	list = slices.DeleteFunc(list, func(known object) bool { return uid != "" && known.uid() == uid })
	if over {
		if c.events[ref] = list; len(list) == 0 {
			delete(c.events, ref)
		}
		return
	}
	at, _ := slices.BinarySearchFunc(list, occurred(e), func(known object, t time.Time) int { return occurred(known).Compare(t) })
	list = slices.Insert(list, at, e)
	if len(list) > maxEvents {
		list = list[1:]
		c.dropped++
	}
	c.events[ref] = list
}

// occurred is when an event happened last.
func occurred(e object) time.Time {
	for _, at := range []time.Time{e.time("series", "lastObservedTime"), e.time("lastTimestamp"), e.time("deprecatedLastTimestamp"),
		e.time("eventTime"), e.created()} {
		if !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// began is when an event happened first.
func began(e object) time.Time {
	if at := e.time("firstTimestamp"); !at.IsZero() {
		return at
	}
	return cmp.Or(e.time("eventTime"), occurred(e))
}

// said is an event's text: message in v1, note in events.k8s.io.
func said(e object) string { return cmp.Or(e.str("message"), e.str("note")) }

// times is how often an event happened.
func times(e object) float64 {
	return max(1, e.num(0, "count"), e.num(0, "series", "count"), e.num(0, "deprecatedCount"))
}

// told are the events about an object of a kind since a time, oldest first. An object that was made anew under its name has not
// the other's events.
func (c *Cluster) told(kind string, o object, since time.Time) []object {
	all := c.events[reference{kind, o.key()}]
	return slices.DeleteFunc(slices.Clone(all), func(e object) bool {
		uid := cmp.Or(e.str("involvedObject", "uid"), e.str("regarding", "uid"))
		return occurred(e).Before(since) || uid != "" && o.uid() != "" && uid != o.uid() && kind != "Node" // a node's events have its name as uid
	})
}

// last is the latest event of one of the reasons about an object; empty where there is none.
func (c *Cluster) last(kind string, o object, since time.Time, reasons ...string) object {
	all := c.told(kind, o, since)
	for _, e := range slices.Backward(all) {
		if slices.Contains(reasons, e.str("reason")) {
			return e
		}
	}
	return object{}
}

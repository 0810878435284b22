package journaldreceiver

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

const (
	prefix             = "systemd.journal."
	attributeTruncated = prefix + "truncated"
	attributeDamaged   = prefix + "damaged"
)

// place is where in a record a field goes.
type place uint8

const (
	asAttribute place = iota
	asNumber
	asBody
	asSeverity
	asTime
	asResource
	nowhere
)

// target is what becomes of a field.
type target struct {
	place     place
	attribute string // for attributes
	other     string // where it goes when it is not what it should be, or there a second time
	resource  int    // which of an origin's fields
}

// known are the fields with a place of their own. Only what journald vouches for (an underscore in front) becomes a resource
// attribute, but for what container runtimes log on behalf of containers.
var known = map[string]target{
	"MESSAGE":                    {place: asBody},
	"PRIORITY":                   {place: asSeverity},
	"_SOURCE_REALTIME_TIMESTAMP": {place: asTime},
	"_PID":                       {place: asNumber, attribute: "process.pid"},
	"_UID":                       {place: asNumber, attribute: "process.user.id"},
	"_COMM":                      {attribute: "process.executable.name"},
	"_EXE":                       {attribute: "process.executable.path"},
	"_CMDLINE":                   {attribute: "process.command_line"},
	"CODE_FILE":                  {attribute: "code.file.path"},
	"CODE_LINE":                  {place: asNumber, attribute: "code.line.number"},
	"CODE_FUNC":                  {attribute: "code.function.name"},
	"TID":                        {place: asNumber, attribute: "thread.id"},
	"_HOSTNAME":                  {place: asResource, resource: hostName},
	"_MACHINE_ID":                {place: asResource, resource: hostID},
	"_SYSTEMD_UNIT":              {place: asResource, resource: unit},
	"_SYSTEMD_CGROUP":            {place: asResource, resource: cgroup},
	"CONTAINER_ID_FULL":          {place: asResource, resource: containerID},
	"CONTAINER_NAME":             {place: asResource, resource: containerName},
	"IMAGE_NAME":                 {place: asResource, resource: imageName},
}

var severities = [8]struct {
	number plog.SeverityNumber
	text   string
}{
	{plog.SeverityNumberFatal, "emerg"},
	{plog.SeverityNumberError3, "alert"},
	{plog.SeverityNumberError2, "crit"},
	{plog.SeverityNumberError, "err"},
	{plog.SeverityNumberWarn, "warning"},
	{plog.SeverityNumberInfo2, "notice"},
	{plog.SeverityNumberInfo, "info"},
	{plog.SeverityNumberDebug, "debug"},
}

// maxNames bounds the names of fields that are remembered: any process may invent names.
const maxNames = 4096

// builder makes log records of entries.
type builder struct {
	exclude []string
	targets map[string]target
	origins *origins
	version string
	fields  []targeted // of the entry at hand
}

// targeted is a value, and what becomes of it.
type targeted struct {
	target
	value []byte
}

func newBuilder(c *Config, version string) *builder {
	return &builder{exclude: c.ExcludeFields, targets: map[string]target{}, origins: newOrigins(), version: version}
}

// target says what becomes of a field.
func (b *builder) target(name []byte) target {
	if t, ok := b.targets[string(name)]; ok {
		return t
	}
	s := strings.ToValidUTF8(string(name), "\uFFFD")
	t := known[s]
	t.other = prefix + strings.ToLower(s)
	if t.attribute == "" {
		t.attribute = t.other
	}
	if slices.Contains(b.exclude, s) {
		t.place = nowhere
	}
	if len(b.targets) < maxNames {
		b.targets[s] = t
	}
	return t
}

// logs are records in the making, in groups of one resource each.
type logs struct {
	*builder
	plog.Logs
	groups map[string]group
	count  int
}

// group are the records of one resource.
type group struct {
	records   plog.LogRecordSlice
	contained bool // in a container
}

func (b *builder) logs() *logs {
	return &logs{builder: b, Logs: plog.NewLogs(), groups: map[string]group{}}
}

func (l *logs) group(o *origin) group {
	key := l.origins.key(o)
	if g, ok := l.groups[string(key)]; ok {
		return g
	}
	rl := l.ResourceLogs().AppendEmpty()
	contained := l.origins.fill(rl.Resource().Attributes(), o)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	sl.Scope().SetVersion(l.version)
	g := group{sl.LogRecords(), contained}
	l.groups[string(key)] = g
	return g
}

// add makes a record of an entry.
func (l *logs) add(e sdjournal.Entry) {
	e = e.Own()
	// The resource decides where the record goes, so its fields come first.
	var from origin
	l.fields = l.fields[:0]
	for name, value := range e.Fields() {
		t := l.target(name)
		if t.place == asResource {
			from.take(t.resource, value)
		}
		l.fields = append(l.fields, targeted{t, value})
	}
	g := l.group(&from)
	r := g.records.AppendEmpty()
	l.count++
	r.SetTimestamp(timestamp(e.Realtime))
	r.SetObservedTimestamp(timestamp(e.Realtime))
	w := writer{LogRecord: r, attributes: r.Attributes(), truncated: e.Truncated}
	w.attributes.EnsureCapacity(min(len(l.fields), 32))
	for _, f := range l.fields {
		if f.place == nowhere || f.place == asResource && from.told(f.resource, f.value, g.contained) || w.place(f.target, f.value) {
			continue
		}
		w.put(f.other, f.value)
	}
	if e.Truncated {
		w.attributes.PutBool(attributeTruncated, true)
	}
	if e.Damaged {
		w.attributes.PutBool(attributeDamaged, true)
	}
}

// writer fills one record.
type writer struct {
	plog.LogRecord
	attributes             pcommon.Map
	truncated              bool
	body, severity, source bool
}

// place puts a value where it belongs, if it can be there, and nothing is yet.
func (w *writer) place(t target, value []byte) bool {
	switch t.place {
	case asAttribute:
		w.put(t.attribute, value)
		return true
	case asNumber:
		n, err := strconv.ParseInt(text(value), 10, 64)
		if err != nil {
			return false
		}
		v, there := w.attributes.GetOrPutEmpty(t.attribute)
		if !there {
			v.SetInt(n)
		}
		return !there
	case asBody:
		if w.body {
			return false
		}
		w.body = true
		s := w.cut(value)
		if utf8.Valid(s) {
			w.Body().SetStr(text(s))
			return true
		}
		w.Body().SetStr(strings.ToValidUTF8(text(s), "\uFFFD"))
		return false // as it was, beside
	case asSeverity:
		if w.severity || len(value) != 1 || value[0] < '0' || value[0] > '7' {
			return false
		}
		w.severity = true
		s := severities[value[0]-'0']
		w.SetSeverityNumber(s.number)
		w.SetSeverityText(s.text)
		return true
	case asTime:
		usec, err := strconv.ParseUint(text(value), 10, 64)
		if err != nil || w.source || usec > math.MaxInt64/1000 {
			return false
		}
		w.source = true
		w.SetTimestamp(timestamp(usec))
		return true
	}
	return false
}

// put adds an attribute; to one that is there it adds a value.
func (w *writer) put(name string, value []byte) {
	v, there := w.attributes.GetOrPutEmpty(name)
	if there {
		if v.Type() != pcommon.ValueTypeSlice {
			first := pcommon.NewValueEmpty()
			v.MoveTo(first)
			first.MoveTo(v.SetEmptySlice().AppendEmpty())
		}
		v = v.Slice().AppendEmpty()
	}
	if s := w.cut(value); utf8.Valid(s) {
		v.SetStr(text(s))
	} else {
		v.SetEmptyBytes().Append(value...)
	}
}

// cut takes away what is left of a character that truncation cut in two.
func (w *writer) cut(value []byte) []byte {
	if !w.truncated || utf8.Valid(value) {
		return value
	}
	for n := 1; n < utf8.UTFMax && n <= len(value); n++ {
		if s := value[:len(value)-n]; utf8.RuneStart(value[len(value)-n]) && utf8.Valid(s) {
			return s
		}
	}
	return value
}

// timestamp is a time in microseconds as records have it; what they cannot have is the last they can.
func timestamp(usec uint64) pcommon.Timestamp {
	return pcommon.Timestamp(min(usec, math.MaxInt64/1000) * 1000)
}

// text is a value as a string, without a copy: an entry's memory is its own, and nobody changes it.
func text(value []byte) string { return unsafe.String(unsafe.SliceData(value), len(value)) }

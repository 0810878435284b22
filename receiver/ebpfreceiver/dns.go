//go:build linux

package ebpfreceiver

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

const (
	// answerWithin is how long an answer is waited for after a query was sent the last time: resolvers wait as long, or less.
	answerWithin = 5 * time.Second

	// maxLookupFailures bounds the failures of one container that are told at once.
	maxLookupFailures = 16

	eventDNSFailed = "kernel.dns_failed"
)

// lookupOutcomes are how a lookup can end, and the words for it in an event; those without are none. FORMERR and NOTIMP, which are
// among the others, are how old servers answer to what is newer than they are.
var lookupOutcomes = [bpf.DNSOutcomeOUTCOMES]struct {
	metadata.AttributeDNSLookupOutcome
	text string
}{
	bpf.DNSOutcomeNOERROR:   {metadata.AttributeDNSLookupOutcomeNoerror, ""},
	bpf.DNSOutcomeNXDOMAIN:  {metadata.AttributeDNSLookupOutcomeNxdomain, "found no such name (NXDOMAIN)"},
	bpf.DNSOutcomeSERVFAIL:  {metadata.AttributeDNSLookupOutcomeServfail, "failed, since the server could not find out (SERVFAIL)"},
	bpf.DNSOutcomeREFUSED:   {metadata.AttributeDNSLookupOutcomeRefused, "failed, since the server refused to answer (REFUSED)"},
	bpf.DNSOutcomeOTHER:     {metadata.AttributeDNSLookupOutcomeOther, ""},
	bpf.DNSOutcomeTIMED_OUT: {metadata.AttributeDNSLookupOutcomeTimedOut, "got no answer"},
}

func loadDNS() (*ebpf.CollectionSpec, error) { return bpf.LoadDNS() }

func recordDNS(mb *metadata.MetricsBuilder, now pcommon.Timestamp, n []uint64) {
	for i, o := range lookupOutcomes {
		mb.RecordContainerDNSLookupsDataPoint(now, int64(n[i]), o.AttributeDNSLookupOutcome)
	}
	mb.RecordContainerDNSRetriesDataPoint(now, int64(n[bpf.DNSCountRETRIES]))
}

// expire has the kernel count the queries that are answered no more.
func (p *probes) expire(a *attached) error {
	before := bpf.Now() - uint64(answerWithin)
	var expired []uint32
	err := entries(a.Maps[bpf.DNSMapQueries], func(key uint32, q bpf.DNSQuery) {
		if q.Sent <= before {
			expired = append(expired, key)
		}
	})
	if err != nil {
		return fmt.Errorf("read what is not answered yet: %w", err)
	}
	for _, key := range expired {
		if _, err := a.Programs[bpf.DNSProgTapioExpire].Run(&ebpf.RunOptions{Context: [2]uint64{uint64(key), before}}); err != nil {
			return fmt.Errorf("count what was not answered: %w", err)
		}
	}
	return nil
}

// question is a name that a container asks a server for.
type question struct {
	name   string
	server netip.Addr
}

// lookups are how the lookups of a name at a server ended. slow are those that were answered, but late.
type lookups struct {
	question
	n    [bpf.DNSOutcomeOUTCOMES]uint64
	slow uint64
}

func (l *lookups) record(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
	for i, n := range l.n {
		if n > 0 {
			mb.RecordContainerDNSNameLookupsDataPoint(now, int64(n), l.name, l.server.String(), lookupOutcomes[i].AttributeDNSLookupOutcome)
		}
	}
}

// times is how often the name was asked for.
func (l *lookups) times() (n uint64) {
	for _, of := range l.n {
		n += of
	}
	return n
}

// asked is what all ask for.
type asked = tally[question, lookups]

// addLookups adds what the kernel's programs counted, unless there is no room for one more.
func addLookups(all asked, who string, of question, counts bpf.DNSQuestionCounts, room int) bool {
	sum := all.at(who, of, room)
	if sum == nil {
		return false
	}
	sum.question = of
	for i, n := range counts.N {
		sum.n[i] += n
	}
	sum.slow += counts.Slow
	return true
}

func byQuestion(a, b *lookups) int { return a.compare(b.question) }

// asked is what each owner asks for, by the path of its cgroup: as much as the kernel's programs remember.
func (p *probes) asked() (map[string][]*lookups, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.kept.asked.clone()
	err := p.eachQuestion(func(who string, key bpf.DNSQuestion, counts bpf.DNSQuestionCounts) {
		addLookups(all, who, questionOf(key), counts, math.MaxInt)
	})
	return all.byOwner(byQuestion), err
}

// eachQuestion visits what the kernel's programs remember of questions, with who is told of it; p.mu is held.
func (p *probes) eachQuestion(visit func(who string, key bpf.DNSQuestion, counts bpf.DNSQuestionCounts)) error {
	a := p.attached["dns"]
	if a == nil {
		return nil
	}
	if err := p.noted("dns", "queries", p.expire(a)); err != nil {
		return err
	}
	id := func(key bpf.DNSQuestion) uint64 { return key.Cgroup }
	err := owned(p.cgroups, a.Maps[bpf.DNSMapQuestions], id, func(who string, key bpf.DNSQuestion, counts bpf.DNSQuestionCounts) {
		if who != "/" {
			visit(who, key, counts)
		}
	})
	if err != nil {
		err = fmt.Errorf("read what is asked for: %w", err)
	}
	return p.noted("dns", "questions", err)
}

func (q question) compare(other question) int {
	return cmp.Or(strings.Compare(q.name, other.name), q.server.Compare(other.server))
}

func questionOf(key bpf.DNSQuestion) question {
	return question{domainName(key.Name[:]), addressOf(key.Family, key.Server)}
}

// domainName is a name as people write it, of one as messages have it: labels, each with its length before it, up to an empty one
// (RFC 1035, section 3.1). What is no letter of a name is escaped as in zone files. Of one that is too long the end is missing.
func domainName(wire []byte) string {
	var b strings.Builder
	for len(wire) > 0 && wire[0] != 0 {
		n := int(wire[0])
		label := wire[1:]
		cut := n > len(label)
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		for _, c := range label[:min(n, len(label))] {
			switch {
			case c == 0:
				cut = true
			case c == '.' || c == '\\' || c == '"':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c <= ' ' || c > '~':
				fmt.Fprintf(&b, "\\%03d", c)
			default:
				b.WriteByte(c)
			}
		}
		if cut {
			b.WriteString("…")
			break
		}
		wire = label[n:]
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

// lookupFailures tells which lookups failed since the last look, once for each name, server and way to fail. before is what the kernel's
// programs had counted, as in failures.
type lookupFailures struct {
	probes *probes
	before map[bpf.DNSQuestion]bpf.DNSQuestionCounts
}

func (f *lookupFailures) tell(ctx context.Context) error {
	now, all, news := map[bpf.DNSQuestion]bpf.DNSQuestionCounts{}, asked{}, asked{}
	f.probes.mu.Lock()
	err := f.probes.eachQuestion(func(who string, key bpf.DNSQuestion, counts bpf.DNSQuestionCounts) {
		now[key] = counts
		of := questionOf(key)
		addLookups(all, who, of, counts, math.MaxInt)
		before := f.before[key]
		subtract(counts.N[:], before.N[:])
		if before.Slow <= counts.Slow {
			counts.Slow -= before.Slow
		}
		addLookups(news, who, of, counts, math.MaxInt)
	})
	f.probes.mu.Unlock()
	if err != nil {
		return err
	}
	f.before = now
	everything := all.byOwner(byQuestion)
	for cgroup, asked := range news.byOwner(byQuestion) {
		var failed []lookupFailure
		for _, l := range asked {
			failed = append(failed, l.failures(everything[cgroup])...)
		}
		failed, more := worst(failed)
		f.probes.telemetry.ReceiverEbpfNamesDropped.Add(ctx, int64(more))
		for _, l := range failed {
			f.probes.tell(ctx, cgroup, f.probes.cgroups.version, time.Now(), l.fill)
		}
	}
	return nil
}

// failures are the ways in which lookups failed. That there is no such name is none where it was only searched for.
func (l *lookups) failures(asked []*lookups) []lookupFailure {
	var all []lookupFailure
	attempts := l.times()
	for i, n := range l.n {
		if o := lookupOutcomes[i]; n > 0 && o.text != "" && (bpf.DNSOutcome(i) != bpf.DNSOutcomeNXDOMAIN || !searched(l.name, asked)) {
			all = append(all, lookupFailure{l.question, o.String(), o.text, n, attempts})
		}
	}
	if l.slow > 0 {
		all = append(all, lookupFailure{l.question, "slow", "took a second or more", l.slow, attempts})
	}
	return all
}

// lookupFailure is one way in which count of all lookups of a name failed, and the words for it.
type lookupFailure struct {
	question
	outcome, text   string
	count, attempts uint64
}

// worst are the failures that are told of a container: of one that asks for names at random, not every one. What is wrong with servers
// goes before names that do not exist.
func worst(failed []lookupFailure) (told []lookupFailure, more int) {
	rank := func(l lookupFailure) int {
		if l.outcome == lookupOutcomes[bpf.DNSOutcomeNXDOMAIN].String() {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(failed, func(a, b lookupFailure) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.count, a.count))
	})
	told = failed[:min(len(failed), maxLookupFailures)]
	return told, len(failed) - len(told)
}

// searched says whether nothing is wrong with a name that there is not: resolvers complete a name by each of the domains that they
// search (resolv.conf), and ask for it as it is, before or after that. One of those is enough; and if there is none, the name
// itself is what people know.
func searched(name string, asked []*lookups) bool {
	return slices.ContainsFunc(asked, func(l *lookups) bool {
		switch {
		case completes(name, l.name):
			return l.n[bpf.DNSOutcomeNOERROR]+l.n[bpf.DNSOutcomeNXDOMAIN] > 0
		case completes(l.name, name):
			return l.n[bpf.DNSOutcomeNOERROR] > 0
		}
		return false
	})
}

// completes says whether a name is another one and a domain behind it.
func completes(name, of string) bool {
	return len(name) > len(of) && name[len(of)] == '.' && strings.HasPrefix(name, of)
}

func (l lookupFailure) fill(r plog.LogRecord) {
	r.SetEventName(eventDNSFailed)
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	a := r.Attributes()
	a.PutStr("dns.question.name", l.name)
	a.PutStr("server.address", l.server.String())
	a.PutStr("dns.lookup.outcome", l.outcome)
	a.PutInt("dns.lookup.count", int64(l.count))
	a.PutInt("dns.lookup.attempts", int64(l.attempts))
	r.Body().SetStr(fmt.Sprintf("%d of %d lookups of %s at %s %s", l.count, l.attempts, l.name, l.server, l.text))
}

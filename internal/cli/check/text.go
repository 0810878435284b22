package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

// group is one severity as people read it.
type group struct {
	severity     finding.Severity
	label        string
	colour       cli.Colour
	one, several string
}

var groups = []group{
	{finding.Critical, "CRITICAL", cli.Red, "needs help now", "need help now"},
	{finding.Warning, "WARNING", cli.Yellow, "has issues", "have issues"},
	{finding.Info, "NOTE", cli.Bold, "is worth a look", "are worth a look"},
}

// writeText writes a report for people: who is well, who is not and why, and what could not be seen.
func writeText(o *Options, r finding.Report) error {
	env := o.Env
	var b strings.Builder
	active := slices.DeleteFunc(slices.Clone(r.Findings), func(f finding.Finding) bool { return f.State != finding.Active })
	spaces := namespaces(active)
	healthy(&b, o, r, len(active))
	for _, g := range groups {
		fs := slices.DeleteFunc(slices.Clone(active), func(f finding.Finding) bool { return f.Severity != g.severity })
		if len(fs) == 0 {
			continue
		}
		entities := map[string]string{} // by display name: kind
		for _, f := range fs {
			entities[f.Entity.Cluster+"/"+f.Entity.Namespace+"/"+f.Entity.Display()] = f.Entity.Kind
		}
		need := g.several
		if len(entities) == 1 {
			need = g.one
		}
		fmt.Fprintf(&b, "%s %s %s\n", env.Paint(g.colour, g.label+":"), cli.Count(len(entities), noun(slices.Collect(maps.Values(entities)))), need)
		for _, f := range fs {
			b.WriteString("  - " + o.line(f, spaces > 1) + "\n")
			if o.Output == "wide" {
				detail(&b, env, f)
			}
		}
	}
	ready(&b, o, r)
	learning(&b, o, r)
	seen(&b, o, r)
	if len(active) > 0 && o.Output == "text" && !o.Watch {
		fmt.Fprintf(&b, "\nCause and fix: %s\n", o.hint(active[0].Entity, r.Source, spaces > 1))
	}
	_, err := env.Out.Write([]byte(b.String()))
	return err
}

// nothingSeen is why nobody can tell what is well.
const nothingSeen = "no layer is fully seen, so that silence means nothing"

// healthy says what is well, or why nobody can tell.
func healthy(b *strings.Builder, o *Options, r finding.Report, active int) {
	total := 0
	for _, n := range r.Watched {
		total += n
	}
	say := func(colour cli.Colour, label, format string, args ...any) {
		fmt.Fprintf(b, "%s %s\n", o.Env.Paint(colour, label+":"), fmt.Sprintf(format, args...))
	}
	since := ""
	if at := o.Query.Since; !at.IsZero() {
		since = " that began since " + at.In(o.Env.Now().Location()).Format(time.DateTime)
	}
	api, named := r.Source == finding.SourceAPIServer, o.Query.Entity != "" || o.Query.Namespace != "" && r.Source != finding.SourceAPIServer
	switch {
	case !sees(r):
		say(cli.Yellow, "UNKNOWN", nothingSeen)
	case api && o.Query.Entity != "" && len(r.Watched) == 0:
		say(cli.Yellow, "UNKNOWN", "there is no %s any more", asked(o))
	case api && !named && total == 0 && active == 0:
		say(cli.Yellow, "UNKNOWN", "nothing runs there: there is no pod")
	case !api && !named && total == 0:
		say(cli.Yellow, "UNKNOWN", "nothing is watched: there is no container, unit or cgroup with a limit")
	case named && active == 0 && since == "" && len(o.Query.Exclude) == 0:
		say(cli.Green, "HEALTHY", "nothing is known to be wrong with %s", asked(o))
	case named && active == 0: // what was not asked for may be wrong with it
		say(cli.Bold, "QUIET", "nothing%s is known to be wrong with %s%s", since, asked(o), apart(o))
	case !named && r.Summary.Healthy > 0:
		kinds := slices.Collect(maps.Keys(r.Watched))
		if api {
			kinds = []string{"Pod"}
		}
		say(cli.Green, "HEALTHY", "%s running normally%s", cli.Count(r.Summary.Healthy, noun(kinds)), apart(o))
	case active == 0 && since != "":
		say(cli.Bold, "QUIET", "nothing%s is known to be wrong%s", since, apart(o))
	}
}

// apart says of what is not told; nothing where all is.
func apart(o *Options) string {
	if len(o.Query.Exclude) == 0 {
		return ""
	}
	return ", apart from " + cli.Clean(strings.Join(o.Query.Exclude, ", "))
}

// ready says how many deployments have all the replicas they want.
func ready(b *strings.Builder, o *Options, r finding.Report) {
	if d := r.Ready["Deployment"]; d.Total > 0 {
		colour := cli.Green
		if d.Available < d.Total {
			colour = cli.Yellow
		}
		fmt.Fprintf(b, "\n%s %d/%s fully available\n", o.Env.Paint(colour, "READY:"), d.Available, cli.Count(d.Total, "deployment"))
	}
}

func asked(o *Options) string {
	switch q := o.Query; {
	case q.Entity == "":
		return "namespace " + cli.Clean(q.Namespace)
	case q.Namespace == "":
		return cli.Clean(q.Entity)
	default:
		return cli.Clean(q.Entity) + " in namespace " + cli.Clean(q.Namespace)
	}
}

// noun names things of some kinds: by their kind when they are all alike.
func noun(kinds []string) string {
	slices.Sort(kinds)
	if kinds = slices.Compact(kinds); len(kinds) != 1 {
		return "workload"
	}
	return strings.ToLower(cli.Clean(kinds[0]))
}

// line tells a finding in one line; spaced, with its namespace, and with its cluster where there are several.
func (o *Options) line(f finding.Finding, spaced bool) string {
	name, now, where := f.Entity.Display(), o.Env.Now(), ""
	if o.Several {
		where = at(f.Entity.Cluster)
	}
	title := f.TitleAt(now)
	if kind := f.Entity.Kind + " "; strings.HasPrefix(title, kind+name) {
		title = strings.TrimPrefix(title, kind)
		name, title = strings.ToLower(kind)+name, strings.TrimPrefix(title, name)
	}
	title = strings.TrimSpace(strings.TrimPrefix(title, name))
	if spaced && f.Entity.Namespace != "" {
		name = f.Entity.Namespace + "/" + name
	}
	if f.Brief != "" && f.State == finding.Active {
		title = f.Brief + ", " + title
	}
	return cli.Clean(fmt.Sprintf("%s%s: %s (%s)", where, name, title, sure(now, f)))
}

// sure says how sure a finding is, and for a prediction between when and when.
func sure(now time.Time, f finding.Finding) string {
	if f.State == finding.Resolved {
		return "after " + finding.FormatDuration(f.LastSeen.Sub(f.FirstSeen))
	}
	confidence := fmt.Sprintf("confidence %.2f", f.Confidence)
	if p := f.Forecast; p != nil {
		from, to := p.Earliest.Sub(now), p.Latest.Sub(now)
		if to <= 0 {
			return "overdue since " + finding.FormatDuration(-to) + ", " + confidence
		}
		return fmt.Sprintf("%s–%s, %s", finding.FormatDuration(max(from, 0)), finding.FormatDuration(to), confidence)
	}
	if o := f.Outcome; o != nil {
		return finding.FormatDuration(max(now.Sub(o.ActualAt), 0)) + " ago, foreseen " + finding.FormatDuration(o.ActualAt.Sub(o.MadeAt)) + " before, " + confidence
	}
	return "first seen " + finding.FormatDuration(max(now.Sub(f.FirstSeen), 0)) + " ago, " + confidence
}

// detail adds what -o wide shows of a finding.
func detail(b *strings.Builder, env cli.Env, f finding.Finding) {
	fmt.Fprintln(b, cli.Wrap(cli.Clean(f.Explanation), "      ", env.Width))
	for _, r := range f.Remedies {
		fmt.Fprintf(b, "      fix: %s (risk: %s)\n", cli.Clean(r.Title), cli.Clean(string(r.Risk)))
		if r.Command != "" {
			fmt.Fprintf(b, "        %s\n", env.Paint(cli.Bold, cli.Clean(r.Command)))
		}
	}
	where := []string{strings.ToLower(f.Entity.Kind)}
	for _, v := range [][2]string{{"cluster", f.Entity.Cluster}, {"namespace", f.Entity.Namespace}, {"node", f.Entity.Node}} {
		if v[1] != "" {
			where = append(where, v[0]+" "+v[1])
		}
	}
	fmt.Fprintf(b, "      %s\n", env.Paint(cli.Dim, cli.Clean(fmt.Sprintf("%s, pattern %s, id %s", strings.Join(where, ", "), f.Pattern, f.ID))))
}

// learning says for how much it is too early to tell anything, which is not the same as being well.
func learning(b *strings.Builder, o *Options, r finding.Report) {
	if r.LearningTotal == 0 || o.Query.Namespace != "" && o.Query.Entity == "" {
		return
	}
	shown := r.Learning
	if e := o.Query.Entity; e != "" {
		shown = slices.DeleteFunc(slices.Clone(shown), func(l finding.Learning) bool { return !l.Entity.Is(e) })
		if len(shown) == 0 {
			return
		}
	} else {
		fmt.Fprintf(b, "%s no prediction yet for %s\n", o.Env.Paint(cli.Bold, "LEARNING:"), cli.Count(r.LearningTotal, "resource"))
		if o.Output != "wide" {
			shown = shown[:min(len(shown), 3)]
		}
	}
	for _, l := range shown {
		fmt.Fprintf(b, "  - %s: no prediction of its %s yet: %d of %d samples\n", cli.Clean(l.Entity.Display()), plain(l.Resource), l.Samples, l.Needed)
	}
}

// seen says what could not be seen: always what ought to be there and is not, with -o wide everything.
func seen(b *strings.Builder, o *Options, r finding.Report) {
	told := unseen(r.Coverage)
	for _, c := range told {
		fmt.Fprintf(b, "%s %s\n", o.Env.Paint(cli.Yellow, "NOT SEEN:"), lack(c))
	}
	for _, c := range r.Coverage {
		if o.Output == "wide" && c.State == finding.CoverageAbsent && !slices.Contains(told, c) {
			fmt.Fprintf(b, "%s %s\n", o.Env.Paint(cli.Dim, "not seen:"), lack(c))
		}
	}
}

// lack says what is not seen, and why.
func lack(c finding.Coverage) string {
	return cli.Clean(fmt.Sprintf("%s%s: %s", at(c.Cluster), c.Layer, c.Reason))
}

// resources are the names of resources as people say them, where these differ.
var resources = map[string]string{"node.memory": "memory", "filesystem": "space", "pids": "processes", "files": "open files", "conntrack": "connections"}

func plain(resource string) string {
	if name, ok := resources[resource]; ok {
		return name
	}
	return cli.Clean(resource)
}

// at says in which cluster something is; nothing where none is named.
func at(cluster string) string {
	if cluster == "" {
		return ""
	}
	return "[" + cluster + "] "
}

// namespaces is how many namespaces there are among findings.
func namespaces(fs []finding.Finding) int {
	all := map[string]bool{}
	for _, f := range fs {
		if f.Entity.Namespace != "" {
			all[f.Entity.Namespace] = true
		}
	}
	return len(all)
}

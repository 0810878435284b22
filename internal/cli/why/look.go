package why

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// look has the collector find out who holds the memory of the subject, or which of its system calls fail.
func look(ctx context.Context, o *Options) (attribution.Answer, error) {
	kind, flag, what := attribution.Memory, "--profile", "who holds the memory of %s"
	if o.Errors > 0 {
		kind, flag, what = attribution.Errors, "--errors", "which system calls of %s fail"
	}
	from, ok := o.Source.(source.Attributing)
	if !ok {
		return attribution.Answer{}, fmt.Errorf("%s cannot look into a process: %s wants the collector of the subject's node, with --endpoint", o.Source, flag)
	}
	window := o.Profile + o.Errors // one of them is 0
	fmt.Fprintf(o.Env.ErrOut, "looking at %s for %s…\n", cli.Clean(o.Subject), finding.FormatDuration(window))
	a, err := from.Attribute(ctx, kind, o.Subject, o.Namespace, window)
	if err != nil {
		return a, err
	}
	if a.State == attribution.Failed {
		return a, fmt.Errorf(what+" was not found out: %s", cli.Clean(o.Subject), cli.Clean(a.Reason))
	}
	if o.Pprof == "" {
		return a, nil
	}
	b, err := from.Profile(ctx, a.ID)
	if err != nil {
		return a, err
	}
	return a, os.WriteFile(o.Pprof, b, 0o644)
}

// tellHolders tells who holds the memory.
func tellHolders(env cli.Env, a attribution.Answer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", env.Paint(cli.Bold, "Who holds the memory of "+cli.Clean(a.Subject)))
	if a.Text == "" {
		b.WriteString("  nobody is known to\n")
	}
	for i, s := range a.Sites {
		what := "retained"
		if s.Grade != attribution.Retained {
			what = "fetches new memory (that it keeps it is not known)"
		}
		fmt.Fprintf(&b, "  %d. %s\n", i+1, cli.Clean(strings.Join(append([]string{s.Function}, s.Callers...), " ← ")))
		fmt.Fprintf(&b, "     %s, +%s/min", what, finding.FormatBytes(s.BytesPerMinute))
		if s.Share > 0 {
			fmt.Fprintf(&b, ", %.0f %% of the growth", s.Share*100)
		}
		if s.Objects >= 0.5 {
			things := "objects"
			switch s.Kind {
			case "goroutines", "threads":
				things = s.Kind
			case attribution.Objects:
				things = "entries"
			}
			fmt.Fprintf(&b, ", about %.0f %s", s.Objects, things)
		}
		switch {
		case s.Line > 0:
			fmt.Fprintf(&b, ", at %s:%d", cli.Clean(s.File), s.Line)
		case s.File != "":
			fmt.Fprintf(&b, ", in %s", cli.Clean(s.File))
		}
		b.WriteString("\n")
		if s.Holder != "" {
			fmt.Fprintf(&b, "     it is a %s", cli.Clean(s.Holder))
			if s.Of != "" {
				fmt.Fprintf(&b, "; most of what it gains is %s", cli.Clean(s.Of))
			}
			b.WriteString("\n")
		}
		if len(s.Users) > 0 {
			fmt.Fprintf(&b, "     used in: %s\n", cli.Clean(strings.Join(s.Users, ", ")))
		}
		if s.Handler != "" {
			fmt.Fprintf(&b, "     HTTP handler: %s", cli.Clean(s.Handler))
			if s.Route != "" {
				fmt.Fprintf(&b, " (%s)", cli.Clean(s.Route))
			}
			b.WriteByte('\n')
		}
		if len(s.Blocked) > 0 {
			fmt.Fprintf(&b, "     blocked in: %s\n", cli.Clean(strings.Join(s.Blocked, " ← ")))
		}
	}
	if a.Reason != "" {
		fmt.Fprintf(&b, "%s\n", cli.Wrap(cli.Clean(a.Reason), "  ", env.Width))
	}
	_, err := env.Out.Write([]byte(b.String()))
	return err
}

// tellFailures tells which system calls failed.
func tellFailures(env cli.Env, a attribution.Answer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", env.Paint(cli.Bold, "System calls of "+cli.Clean(a.Subject)+" that failed for want of something"))
	for i, f := range a.Failures {
		fmt.Fprintf(&b, "  %d. %s: %s, %d times\n     %s (pid %d)", i+1, cli.Clean(f.Syscall), cli.Clean(f.Error), f.Count, cli.Clean(f.Process), f.PID)
		if f.Cgroup != "" {
			fmt.Fprintf(&b, " in %s", cli.Clean(f.Cgroup))
		}
		b.WriteString("\n")
	}
	if a.Reason != "" {
		fmt.Fprintf(&b, "%s\n", cli.Wrap(cli.Clean(a.Reason), "  ", env.Width))
	}
	_, err := env.Out.Write([]byte(b.String()))
	return err
}

// checkLook says what is wrong with the flags.
func (o *Options) checkLook() error {
	if o.Profile == 0 && o.Pprof != "" {
		return errors.New("--pprof wants --profile, such as --profile 30s")
	}
	if err := attribution.Memory.Check(o.Profile); o.Profile != 0 && err != nil {
		return fmt.Errorf("--profile %w", err)
	}
	if err := attribution.Errors.Check(o.Errors); o.Errors != 0 && err != nil {
		return fmt.Errorf("--errors %w", err)
	}
	return nil
}

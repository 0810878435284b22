//go:build linux

package attribution

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/java"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/node"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// here says where commands are to be run, and by which number the process goes there.
func here(p *process.Process) (where string, pid int) {
	if pid = p.InnerPID(); pid != p.PID {
		return "in its container, ", pid
	}
	return "", pid
}

// nextPython says how to find out which lines of a Python program hold memory.
func nextPython(p *process.Process, _ []process.Growth) string {
	where, pid := here(p)
	return fmt.Sprintf("%spy-spy dump --pid %d shows what its threads do; started again with PYTHONTRACEMALLOC=10 in its environment, "+
		"tracemalloc.take_snapshot().statistics('lineno') names the lines that hold memory", where, pid)
}

const sigUSR1 = 10

var snapshotSignal = regexp.MustCompile(`^--heapsnapshot-signal=SIG([A-Z0-9]+)$`)

// nextNode says how to find out which objects of JavaScript hold memory.
func nextNode(p *process.Process, grown []process.Growth) string {
	where, pid := here(p)
	var next string
	for _, arg := range p.Args() {
		if m := snapshotSignal.FindStringSubmatch(arg); m != nil {
			next = fmt.Sprintf("%skill -%s %d writes a heap snapshot into its working directory", where, m[1], pid)
		}
	}
	if next == "" {
		if !p.Catches(sigUSR1) {
			// The signal would end it.
			return "started again with --heapsnapshot-signal=SIGUSR2, it writes a heap snapshot at that signal: compare two"
		}
		next = fmt.Sprintf("%skill -USR1 %d opens its inspector on 127.0.0.1:9229, unless it handles that signal itself; chrome://inspect takes heap snapshots", where, pid)
	}
	next += ": compare two. A snapshot stops it, and takes about as much memory again as its heap has"
	if kind := grown[0].Kind; kind != node.KindHeap && kind != process.KindCode {
		next = "process.memoryUsage().arrayBuffers tells what its Buffers hold, which are not in V8's heap; what refers to them is: " + next
	}
	return next
}

// What to run for the others: for those whose kind of memory says little about it, whatever grows.
const (
	nextRuby = `started again with RUBYOPT=-r/tmp/heap.rb in its environment, and in that file: require "objspace"; ObjectSpace.trace_object_allocations_start; ` +
		`trap("USR2") { File.open("/tmp/heap.json", "w") { |f| ObjectSpace.dump_all(output: f) } }, ` +
		`kill -USR2 has it write all its objects, with the lines that made them`
	nextErlang = "in its shell (erl -remsh), erlang:memory(). tells what for, ets:i(). which tables, and " +
		"lists:sublist(lists:reverse(lists:sort([{M, P} || P <- processes(), {memory, M} <- [process_info(P, memory)]])), 10). which processes hold most"
	nextPHP = "memory_get_usage(), logged after each request or turn, shows where it grows; the extension memprof (MEMPROF_PROFILE=1 in its environment) " +
		"names the functions whose memory is held"
	nextPerl = "started again with perl -MDevel::MAT::Dumper=-dump_at_SIGQUIT, kill -QUIT has it write its heap, which pmat goes through"
)

func always(next string) func(*process.Process, []process.Growth) string {
	return func(*process.Process, []process.Growth) string { return next }
}

func nextDotnet(p *process.Process, _ []process.Growth) string {
	where, pid := here(p)
	return fmt.Sprintf("%sdotnet-gcdump collect -p %d, twice, and compare", where, pid)
}

// nextJava says which of the virtual machine's own commands tells more.
func nextJava(p *process.Process, grown []process.Growth) string {
	where, pid := here(p)
	if !p.HasBeside("jcmd") {
		return fmt.Sprintf("its image has no jcmd, as a JRE has none: %skill -QUIT %d has it print its threads and how full its heap is; "+
			"-XX:+HeapDumpOnOutOfMemoryError and an -Xmx well below its limit have it dump its heap", where, pid)
	}
	// Classes and threads take memory of malloc as well, and are what it is for.
	kind := grown[0].Kind
	for _, of := range grown {
		if (of.Kind == java.KindMetaspace || of.Kind == process.KindThreadStack) && of.Bytes > grown[0].Bytes/4 {
			kind = of.Kind
			break
		}
	}
	switch kind {
	case java.KindHeap:
		return fmt.Sprintf("%sjcmd %d GC.class_histogram, twice, and compare (it collects all garbage first)", where, pid)
	case process.KindThreadStack:
		return fmt.Sprintf("%sjcmd %d Thread.print", where, pid)
	case java.KindMetaspace:
		return fmt.Sprintf("%sjcmd %d VM.classloader_stats, twice, and compare", where, pid)
	case java.KindCode:
		return fmt.Sprintf("%sjcmd %d Compiler.codecache", where, pid)
	}
	if slices.ContainsFunc(p.Args(), tracksNative.MatchString) {
		return fmt.Sprintf("%sjcmd %d VM.native_memory baseline, then VM.native_memory summary.diff", where, pid)
	}
	return fmt.Sprintf("%sjcmd %d GC.class_histogram shows whether there are ever more java.nio.DirectByteBuffer; "+
		"jcmd %[2]d VM.native_memory wants it started with -XX:NativeMemoryTracking=summary", where, pid)
}

var tracksNative = regexp.MustCompile(`^-XX:NativeMemoryTracking=(summary|detail)$`)

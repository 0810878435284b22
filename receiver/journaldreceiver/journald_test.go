package journaldreceiver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// journald is a real systemd-journald, in a mount namespace of its own, with its folders below dir.
type journald struct {
	dir string
	t   testing.TB
	pid int
	// logged counts the entries that journald took.
	logged int
}

// journaldScript runs journald until its standard input ends, again and again: a "restart" follows each death.
const journaldScript = `
D=$1
mkdir -p /run/systemd/journal /run/log /var/log/journal
mount --bind "$D/run-systemd" /run/systemd
mount --bind "$D/run-log" /run/log
mount --bind "$D/log" /var/log/journal
mount --bind "$D/journald.conf" /etc/systemd/journald.conf
mkdir -p /run/systemd/journal
[ -e "$D/flushed" ] && touch /run/systemd/journal/flushed
/lib/systemd/systemd-journald 2> "$D/stderr" &
echo $! > "$D/pid"
while kill -0 "$(cat "$D/pid")" 2> /dev/null && ! [ -S /run/systemd/journal/socket ]; do sleep 0.02; done
echo ready
cat > /dev/null
kill "$(cat "$D/pid")" 2> /dev/null
wait
`

// startJournald starts a journald with this configuration; persistent from the start, or in /run until it is flushed.
func startJournald(t testing.TB, persistent bool, conf string) *journald {
	needLibsystemd(t)
	if os.Getuid() != 0 {
		t.Skip("running a journald needs root")
	}
	if _, err := os.Stat("/lib/systemd/systemd-journald"); err != nil {
		t.Skip("systemd-journald is missing (make setup, as root)")
	}
	dir, err := os.MkdirTemp("", "tapio") // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	j := &journald{dir: dir, t: t}
	for _, d := range []string{"run-systemd", "run-log", "log"} {
		require.NoError(t, os.Mkdir(filepath.Join(j.dir, d), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(j.dir, "journald.conf"),
		[]byte("[Journal]\nStorage=auto\nRateLimitBurst=0\nReadKMsg=no\nAudit=no\nSyncIntervalSec=1s\n"+conf), 0o600))
	if persistent {
		require.NoError(t, os.WriteFile(filepath.Join(j.dir, "flushed"), nil, 0o600))
	}
	j.start()
	return j
}

func (j *journald) start() {
	require.NoError(j.t, os.RemoveAll(filepath.Join(j.dir, "run-systemd", "journal", "socket")))
	c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", journaldScript, "sh", j.dir)
	in, err := c.StdinPipe()
	require.NoError(j.t, err)
	out, err := c.StdoutPipe()
	require.NoError(j.t, err)
	if err := c.Start(); err != nil {
		j.t.Skip("cannot make a mount namespace: ", err)
	}
	j.t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	if n, _ := out.Read(make([]byte, 6)); n == 0 {
		stderr, _ := os.ReadFile(filepath.Join(j.dir, "stderr"))
		j.t.Skipf("journald does not run here: %s", stderr)
	}
	pid, err := os.ReadFile(filepath.Join(j.dir, "pid"))
	require.NoError(j.t, err)
	j.pid, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	require.NoError(j.t, err)
}

func (j *journald) folders() []string {
	return []string{filepath.Join(j.dir, "log"), filepath.Join(j.dir, "run-log", "journal")}
}

// run runs a program where this journald's folders are the machine's.
func (j *journald) run(args ...string) {
	out, err := exec.Command("nsenter", append([]string{"--mount", "--target", strconv.Itoa(j.pid), "--"}, args...)...).CombinedOutput()
	require.NoError(j.t, err, string(out))
}

// log logs entries by journald's own protocol, with the messages "m 1", "m 2", … over the journald's life.
func (j *journald) log(n int, fields ...string) {
	c := j.dial()
	defer func() { _ = c.Close() }()
	for range n {
		j.logged++
		_, err := c.Write(native(append([]string{fmt.Sprintf("MESSAGE=m %d", j.logged), "PRIORITY=6"}, fields...)))
		require.NoError(j.t, err)
	}
	j.run("journalctl", "--sync")
}

func (j *journald) dial() net.Conn {
	c, err := net.Dial("unixgram", filepath.Join(j.dir, "run-systemd", "journal", "socket"))
	require.NoError(j.t, err)
	return c
}

// native is an entry in journald's own protocol.
func native(fields []string) []byte {
	var b bytes.Buffer
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		b.WriteString(name + "\n")
		_ = binary.Write(&b, binary.LittleEndian, uint64(len(value)))
		b.WriteString(value + "\n")
	}
	return b.Bytes()
}

// ours are the messages of a journald's log, without what journald says itself.
func ours(all []string) []string {
	var m []string
	for _, s := range all {
		if strings.HasPrefix(s, "m ") {
			m = append(m, s)
		}
	}
	return m
}

// waitOurs waits until the sink has n of our messages.
func (r *running) waitOurs(t testing.TB, n int) []string {
	t.Helper()
	defer r.show(t)
	require.Eventually(t, func() bool { return len(ours(r.got())) >= n }, soon, 5*time.Millisecond, "%d records of %d", len(ours(r.got())), n)
	time.Sleep(150 * time.Millisecond)
	return ours(r.got())
}

func TestFollowsRotationOfARealJournald(t *testing.T) {
	j := startJournald(t, true, "")
	r := start(t, configure(nil, j.folders()...), newHost(t, t.TempDir()), &sink{})
	for range 5 {
		j.log(300)
		j.run("journalctl", "--rotate")
	}
	j.log(100)
	assert.Equal(t, messages("m", 1, j.logged), r.waitOurs(t, j.logged))
	assert.Zero(t, r.metric("lost")+r.metric("lost_files"))
}

// hold refuses what it is offered until it is let go.
func hold() (s *sink, letGo func()) {
	held := true
	s = &sink{}
	s.refuse = func(int) error {
		if held {
			return assert.AnError
		}
		return nil
	}
	return s, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		held = false
	}
}

func TestReadsWhatIsDeletedWhileItIsHeldUp(t *testing.T) {
	j := startJournald(t, true, "")
	s, letGo := hold()
	r := start(t, configure(nil, j.folders()...), nil, s)
	for range 3 {
		j.log(300)
		j.run("journalctl", "--rotate")
	}
	time.Sleep(200 * time.Millisecond) // to see the new files, not to read them
	archived, err := filepath.Glob(filepath.Join(j.dir, "log", "*", "*@*.journal"))
	require.NoError(t, err)
	require.Len(t, archived, 3)
	for _, path := range archived {
		require.NoError(t, os.Remove(path))
	}
	letGo()
	j.log(10)
	assert.Equal(t, messages("m", 1, j.logged), r.waitOurs(t, j.logged))
	assert.Zero(t, r.metric("lost")+r.metric("lost_files"))
}

func TestTellsWhatIsVacuumedWhileItIsHeldUp(t *testing.T) {
	j := startJournald(t, true, "")
	j.log(300)
	s, letGo := hold()
	r := start(t, configure(func(c *Config) { c.MaxBatchSize = 100 }, j.folders()...), nil, s)
	require.Eventually(t, func() bool { return r.offered() > 0 }, soon, time.Millisecond)
	j.run("journalctl", "--rotate")
	j.log(300)
	j.run("journalctl", "--rotate")
	time.Sleep(200 * time.Millisecond)
	j.run("journalctl", "--vacuum-files=1") // which leaves nothing in them, also for who has them open
	letGo()
	j.log(10)
	require.Eventually(t, func() bool { return slices.Contains(r.got(), "m 610") }, soon, time.Millisecond)
	got := ours(r.got())
	assert.Equal(t, messages("m", 601, 610), got[len(got)-10:])
	assert.Equal(t, messages("m", 1, len(got)-10), got[:len(got)-10])
	assert.EqualValues(t, 2, r.metric("lost_files"), "and says so")
}

func TestTellsOfAVacuumWhileItWasStopped(t *testing.T) {
	j, h := startJournald(t, true, ""), newHost(t, t.TempDir())
	j.log(100)
	r := start(t, configure(nil, j.folders()...), h, &sink{})
	r.waitOurs(t, 100)
	r.stop()
	j.log(100)
	j.run("journalctl", "--rotate")
	j.log(100)
	j.run("journalctl", "--rotate")
	j.log(100)
	j.run("journalctl", "--vacuum-files=1")
	r = start(t, configure(nil, j.folders()...), h, &sink{})
	got := r.waitOurs(t, 100)
	assert.Equal(t, messages("m", 301, 400), got[len(got)-100:])
	assert.NotContains(t, got, "m 100", "nothing twice")
	assert.EqualValues(t, 1, r.metric("lost_files"), "it had not been read to its end, for all that is known")
	assert.Equal(t, 1, r.logs.FilterMessageSnippet("deleted before it was read").Len())
}

func TestFlushFromVolatileToPersistentTellsNothingTwice(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			j, h := startJournald(t, false, ""), newHost(t, t.TempDir())
			r := start(t, configure(nil, j.folders()...), h, &sink{})
			j.log(500)
			got := r.waitOurs(t, 500)
			if restart {
				r.stop()
			}
			j.log(100)
			j.run("journalctl", "--flush")
			j.log(100)
			if restart {
				r = start(t, configure(nil, j.folders()...), h, &sink{})
				got = append(got, r.waitOurs(t, 200)...)
			} else {
				got = r.waitOurs(t, 700)
			}
			assert.Equal(t, messages("m", 1, 700), got)
			require.Eventually(t, func() bool { return r.metric("duplicates") >= 500 }, soon, time.Millisecond)
			persistent, err := filepath.Glob(filepath.Join(j.dir, "log", "*", "system.journal"))
			require.NoError(t, err)
			assert.NotEmpty(t, persistent, "it was flushed")
		})
	}
}

func TestJournaldKilledWhileItWrites(t *testing.T) {
	j := startJournald(t, true, "")
	r := start(t, configure(nil, j.folders()...), newHost(t, t.TempDir()), &sink{})
	for range 3 {
		j.log(200)
		// More is on its way when it dies: some of it is taken, none of it acknowledged.
		c := j.dial()
		for range 50 {
			_, _ = c.Write(native([]string{"MESSAGE=unacknowledged", "PRIORITY=6"}))
		}
		p, err := os.FindProcess(j.pid)
		require.NoError(t, err)
		require.NoError(t, p.Kill())
		_ = c.Close()
		j.start()
	}
	j.log(100)
	assert.Equal(t, messages("m", 1, j.logged), r.waitOurs(t, j.logged))
	damaged, err := filepath.Glob(filepath.Join(j.dir, "log", "*", "*.journal~"))
	require.NoError(t, err)
	assert.NotEmpty(t, damaged, "journald put the file aside that it had not closed")
}

func TestRestartsWhileARealJournaldWritesAndRotates(t *testing.T) {
	j, h := startJournald(t, true, "SystemMaxFileSize=1M\n"), newHost(t, t.TempDir())
	var got []string
	for i := range 6 {
		r := start(t, configure(func(c *Config) { c.MaxBatchSize = 50 }, j.folders()...), h, &sink{})
		j.log(1000, "PAD="+strings.Repeat("x", 400)+strconv.Itoa(i))
		if i == 5 {
			got = append(got, r.waitOurs(t, j.logged-len(got))...)
		}
		r.stop() // wherever it is
		if i < 5 {
			got = append(got, ours(r.got())...)
		}
	}
	assert.ElementsMatch(t, messages("m", 1, j.logged), got)
}

func TestRealTransports(t *testing.T) {
	j := startJournald(t, true, "")
	r := start(t, configure(func(c *Config) { c.Transports = []string{"stdout", "syslog"} }, j.folders()...), nil, &sink{})
	j.run("systemd-cat", "--identifier=cat", "--priority=warning", "echo", "by stdout")
	j.run("logger", "--socket-errors=off", "-u", "/run/systemd/journal/dev-log", "-t", "tag", "-p", "user.err", "by syslog")
	j.log(5)
	got := r.wait(t, 2)
	assert.ElementsMatch(t, []string{"by stdout", "by syslog"}, got)
	for _, ld := range r.all {
		for _, rec := range records(ld) {
			switch rec.Body().Str() {
			case "by stdout":
				assert.Equal(t, "warning", rec.SeverityText())
				v, _ := rec.Attributes().Get("systemd.journal.syslog_identifier")
				assert.Equal(t, "cat", v.Str())
			case "by syslog":
				assert.Equal(t, "err", rec.SeverityText())
			}
			pid, ok := rec.Attributes().Get("process.pid")
			assert.True(t, ok && pid.Int() > 1)
		}
	}
}

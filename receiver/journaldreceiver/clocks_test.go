package journaldreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where all files are read as one journal, in the order of their times, each of these loses entries.
func TestClocksThatJump(t *testing.T) {
	dir, h := t.TempDir(), newHost(t, t.TempDir())
	system := filepath.Join(dir, machineA, "system.journal")
	hour := uint64(3_600_000_000)
	writeJournal(t, system, at(0, "MESSAGE=1"), at(1000, "MESSAGE=2"))
	r := start(t, configure(nil, dir), h, &sink{})
	assert.Equal(t, []string{"1", "2"}, r.wait(t, 2))

	back := at(2000, "MESSAGE=3, an hour earlier")
	back.realtime -= hour
	writeJournal(t, system, back)
	assert.Equal(t, "3, an hour earlier", r.wait(t, 3)[2], "the clock was set back")

	boot := entry{realtime: 1_000_000, monotonic: 1_000_000, machine: machineA, boot: bootB, fields: []string{"MESSAGE=4, in 1970"}}
	aside := filepath.Join(t.TempDir(), "system.journal")
	writeJournal(t, aside, boot)
	require.NoError(t, os.Rename(aside, filepath.Join(dir, machineA, "system@0006123456789abc-0123456789abcdef.journal~")))
	assert.Equal(t, "4, in 1970", r.wait(t, 4)[3], "a boot without a clock, whose file was put aside")
	r.stop()

	forth := at(3000, "MESSAGE=5, in the future")
	forth.realtime += 1000 * hour
	writeJournal(t, system, forth, at(4000, "MESSAGE=6"))
	r = start(t, configure(nil, dir), h, &sink{})
	assert.Equal(t, []string{"5, in the future", "6"}, r.wait(t, 2), "and after a restart, no more and no less")
}

func TestMachinesThatLagBehind(t *testing.T) {
	dir := t.TempDir()
	r := start(t, configure(nil, dir), newHost(t, t.TempDir()), &sink{})
	var want []string
	for round := range 5 {
		for machine := range 4 {
			m := fmt.Sprintf("machine %d round %d", machine, round)
			want = append(want, m)
			// Machine 3 is days behind machine 0.
			e := at(uint64(round)*1_000_000, "MESSAGE="+m)
			e.realtime -= uint64(machine) * 86_400_000_000
			e.machine, e.boot = fmt.Sprintf("%032x", machine+1), fmt.Sprintf("%032x", machine+100)
			writeJournal(t, filepath.Join(dir, "remote", fmt.Sprintf("remote-host%d.journal", machine)), e)
		}
		assert.ElementsMatch(t, want, r.wait(t, len(want)))
	}
}

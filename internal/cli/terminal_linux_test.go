package cli

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What is known of the terminal, of one that is made smaller, and of one that knows no control sequences.
func TestSystemOnATerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	defer master.Close()
	fd := int(master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	defer tty.Close()
	resize := func(columns, rows uint16) {
		require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}))
	}
	resize(80, 24)
	out := os.Stdout
	defer func() { os.Stdout = out }()
	os.Stdout = tty

	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	env := System()
	assert.True(t, env.Terminal)
	assert.True(t, env.Color)
	assert.Equal(t, 80, env.Width)
	resize(40, 10)
	columns, rows := env.Size()
	assert.Equal(t, []int{40, 10}, []int{columns, rows})

	t.Setenv("NO_COLOR", "1")
	env = System()
	assert.True(t, env.Terminal)
	assert.False(t, env.Color)

	t.Setenv("TERM", "dumb")
	env = System()
	assert.False(t, env.Terminal, "it can show no page")
	assert.False(t, env.Color)
	assert.Equal(t, 40, env.Width)
}

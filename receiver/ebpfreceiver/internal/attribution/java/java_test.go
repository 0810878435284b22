//go:build linux

package java

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counters makes a file of them, as perfMemory.cpp does.
func counters(all map[string]int64) []byte {
	b := make([]byte, 32)
	copy(b, []byte{0xca, 0xfe, 0xc0, 0xc0, 1, 2, 0, 1})
	for name, v := range all {
		at := (20 + len(name) + 1 + 7) &^ 7
		e := make([]byte, at+8)
		binary.LittleEndian.PutUint32(e, uint32(len(e)))
		binary.LittleEndian.PutUint32(e[4:], 20)
		e[12] = 'J'
		binary.LittleEndian.PutUint32(e[16:], uint32(at))
		copy(e[20:], name)
		binary.LittleEndian.PutUint64(e[at:], uint64(v))
		b = append(b, e...)
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[24:], 32)
	binary.LittleEndian.PutUint32(b[28:], uint32(len(all)))
	return b
}

func TestParse(t *testing.T) {
	want := map[string]int64{"java.threads.live": 7, "sun.gc.generation.1.space.0.used": 1 << 40}
	got, err := parse(counters(want))
	require.NoError(t, err)
	assert.Equal(t, want, got)

	for name, spoil := range map[string]func(b []byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"another magic": func(b []byte) []byte { b[0] = 0; return b },
		"big-endian":    func(b []byte) []byte { b[4] = 0; return b },
		"no length":     func(b []byte) []byte { b[32] = 0; return b },
		"too long":      func(b []byte) []byte { b[34] = 0xff; return b },
		"name outside":  func(b []byte) []byte { b[37] = 0xff; return b },
		"value outside": func(b []byte) []byte { b[49] = 0xff; return b },
	} {
		_, err := parse(spoil(counters(want)))
		assert.Error(t, err, name)
	}
}

// What collections leave is known of collectors with an old generation: of others only that they have collected.
func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		counters map[string]int64
		want     Values
	}{
		"Serial, Parallel": {
			map[string]int64{"sun.gc.generation.0.space.0.used": 17, "sun.gc.generation.1.space.0.used": 13, "sun.gc.collector.0.invocations": 4, "sun.gc.collector.1.invocations": 2},
			Values{Old: 13, Collections: 6, Full: 2},
		},
		"G1": {
			map[string]int64{"sun.gc.generation.0.space.0.used": 55, "sun.gc.generation.1.space.0.used": 46, "sun.gc.collector.0.invocations": 7, "sun.gc.collector.1.invocations": 0, "sun.gc.collector.2.invocations": 3},
			Values{Old: 46, Collections: 10},
		},
		"ZGC": {
			map[string]int64{"sun.gc.generation.1.space.0.used": 14, "sun.gc.collector.2.invocations": 24}, Values{Collections: 24},
		},
		"Shenandoah": {
			map[string]int64{"sun.gc.generation.1.space.0.used": 43, "sun.gc.collector.0.invocations": 0, "sun.gc.collector.1.invocations": 50}, Values{Collections: 50},
		},
	} {
		assert.Equal(t, c.want, valuesOf(c.counters), name)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(counters(map[string]int64{"java.threads.live": 7}))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parse(b) })
}

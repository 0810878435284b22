package cgroupreceiver

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseInt(t *testing.T) {
	for in, want := range map[string]struct {
		v     int64
		ok    bool
		fails string
	}{
		"4096\n":                {v: 4096, ok: true},
		"0":                     {ok: true},
		"max\n":                 {},
		"-1\n":                  {}, // cpu.cfs_quota_us
		"9223372036854771712\n": {}, // v1's no limit, with pages of 4 KiB
		"9223372036854710272\n": {}, // with pages of 64 KiB
		"":                      {fails: "a number is missing"},
		"-2":                    {fails: `"-2" is no number`},
		"12 13":                 {fails: `"12 13" is no number`},
	} {
		v, ok, err := parseInt([]byte(in))
		if want.fails != "" {
			assert.ErrorContains(t, err, want.fails, in)
			continue
		}
		assert.NoError(t, err, in)
		assert.Equal(t, want.v, v, in)
		assert.Equal(t, want.ok, ok, in)
	}
}

func TestParsePressure(t *testing.T) {
	p, err := parsePressure([]byte("some avg10=12.34 avg60=0.00 avg300=0.00 total=4567\nfull avg10=100.00 avg60=0 avg300=0 total=8\n"))
	assert.NoError(t, err)
	assert.Equal(t, pressures{some: pressure{0.1234, 4567, true}, full: pressure{1, 8, true}}, p)
	p, err = parsePressure([]byte("some avg10=0.50 avg60=0.00 avg300=0.00 total=1\n")) // CPU, before 5.13
	assert.NoError(t, err)
	assert.Equal(t, pressures{some: pressure{0.005, 1, true}}, p)
	for in, want := range map[string]string{
		"most avg10=0.00 total=0":   `"most avg10=0.00 total=0" is neither some nor full`,
		"some avg10=101.00 total=0": `avg10: "101.00" is no percentage`,
		"some avg10=NaN total=0":    `avg10: "NaN" is no percentage`,
		"some avg10=1.00 total=":    "total: a number is missing",
	} {
		_, err := parsePressure([]byte(in))
		assert.ErrorContains(t, err, want, in)
	}
}

func TestParseIO(t *testing.T) {
	sum, err := parseIOStat([]byte("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n253:0 rbytes=10 wbytes=20 rios=30 wios=40 new=x\n7:0 \n"))
	assert.NoError(t, err)
	assert.Equal(t, disk{11, 22, 33, 44}, sum)
	read, write, found, err := parseBlkio([]byte("8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Async 0\n8:0 Total 3\n8:16 Read 10\n8:16 Write 20\nTotal 33\n"))
	assert.NoError(t, err)
	assert.Equal(t, []any{int64(11), int64(22), true}, []any{read, write, found})
	_, _, found, err = parseBlkio([]byte("Total 0\n"))
	assert.NoError(t, err)
	assert.False(t, found, "no device, nothing known")
}

func TestParseCPUMax(t *testing.T) {
	quota, period, limited, err := parseCPUMax([]byte("50000 100000\n"))
	assert.NoError(t, err)
	assert.Equal(t, []any{int64(50000), int64(100000), true}, []any{quota, period, limited})
	_, _, limited, err = parseCPUMax([]byte("max 100000\n"))
	assert.NoError(t, err)
	assert.False(t, limited)
	for _, in := range []string{"", "5", "5 0", "x 5", "5 x"} {
		_, _, _, err := parseCPUMax([]byte(in))
		assert.Error(t, err, in)
	}
}

func FuzzEachKey(f *testing.F) {
	f.Add("anon 1\nfile 2\n")
	f.Add("oom_kill 99999999999999999999999\n")
	f.Add("key")
	f.Add("\n\n k \n")
	f.Fuzz(func(t *testing.T, in string) {
		n := 0
		err := eachKey([]byte(in), func(key []byte, v int64) {
			n++
			if v < 0 {
				t.Fatalf("%s is %d", key, v)
			}
		})
		if filled := strings.Count(strings.Trim(in, "\n"), "\n") + 1; n > filled || err == nil && in != "" && strings.Trim(in, "\n") != "" && n == 0 {
			t.Fatalf("%d keys in %d lines, %v", n, filled, err)
		}
	})
}

func FuzzParseInt(f *testing.F) {
	for _, s := range []string{"0", "max", "-1", "9223372036854771712", "18446744073709551616", " 7\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		v, ok, err := parseInt([]byte(in))
		if v < 0 || v >= noLimit || (!ok || err != nil) && v != 0 {
			t.Fatalf("%d %v %v", v, ok, err)
		}
	})
}

func FuzzParseIO(f *testing.F) {
	f.Add("8:0 rbytes=1 wbytes=2 rios=3 wios=4")
	f.Add("8:0 rbytes=9223372036854775807 rbytes=9223372036854775807")
	f.Add("8:0 Read 1\n8:0 Write 2\nTotal 3")
	f.Add("8:0 Read \n Read  Write 9223372036854775807\n Read 9223372036854775807\n Read 9")
	f.Fuzz(func(t *testing.T, in string) {
		if sum, _ := parseIOStat([]byte(in)); min(sum.readBytes, sum.writeBytes, sum.reads, sum.writes) < 0 {
			t.Fatal(sum)
		}
		if read, write, _, _ := parseBlkio([]byte(in)); min(read, write) < 0 {
			t.Fatal(read, write)
		}
	})
}

func FuzzParsePressure(f *testing.F) {
	f.Add("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0")
	f.Add("some avg10=1e400 total=18446744073709551616")
	f.Add("full avg10=. total")
	f.Fuzz(func(t *testing.T, in string) {
		p, _ := parsePressure([]byte(in))
		for _, p := range []pressure{p.some, p.full} {
			if !(p.avg10 >= 0 && p.avg10 <= 1) || p.total < 0 {
				t.Fatal(p)
			}
		}
	})
}

func FuzzParseCPUMax(f *testing.F) {
	f.Add("max 100000")
	f.Add("50000 100000")
	f.Fuzz(func(t *testing.T, in string) {
		quota, period, limited, err := parseCPUMax([]byte(in))
		if limited && (err != nil || quota < 0 || period <= 0) {
			t.Fatal(quota, period, err)
		}
	})
}

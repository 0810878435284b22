package cgroupreceiver

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
)

// maxInt is where numbers are cut: every value fits in what a data point holds.
const maxInt = math.MaxInt64

// plus adds numbers that are not negative.
func plus(a, b int64) int64 {
	if a > maxInt-b {
		return maxInt
	}
	return a + b
}

// times1000 turns µs into ns.
func times1000(v int64) int64 { return min(v, maxInt/1000) * 1000 }

// lines are the lines of a file, without those that are empty.
func lines(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			line := b
			if i := bytes.IndexByte(b, '\n'); i >= 0 {
				line, b = b[:i], b[i+1:]
			} else {
				b = nil
			}
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// noLimit is what v1 shows for no limit: the largest page-aligned int64, whatever the page size. v2 says max.
const noLimit = 1 << 62

// parseInt reads a file that holds one number, or max for none. ok is false where there is no limit.
func parseInt(b []byte) (v int64, ok bool, err error) {
	b = bytes.TrimSpace(b)
	if string(b) == "max" || string(b) == "-1" {
		return 0, false, nil
	}
	if v, err = number(b); err != nil || v >= noLimit {
		return 0, false, err
	}
	return v, true, nil
}

// eachKey calls visit for each line `key value` of a flat-keyed file (memory.stat, memory.events, cpu.stat, pids.events).
// Lines that are not of that form are an error; values beyond int64 are cut.
func eachKey(b []byte, visit func(key []byte, value int64)) error {
	for line := range lines(b) {
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			return fmt.Errorf("line %.60q is not `key value`", line)
		}
		v, err := number(line[i+1:])
		if err != nil {
			return err
		}
		visit(line[:i], v)
	}
	return nil
}

// number reads digits without making a string of them: it runs some hundred times for each cgroup.
func number(b []byte) (int64, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return 0, errors.New("a number is missing")
	}
	var v int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%.40q is no number", b)
		}
		if v > (maxInt-9)/10 {
			v = maxInt
		} else {
			v = v*10 + int64(c-'0')
		}
	}
	return v, nil
}

// disk is what block devices did for a cgroup, all devices together.
type disk struct{ readBytes, writeBytes, reads, writes int64 }

// parseIOStat reads v2's io.stat: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
func parseIOStat(b []byte) (disk, error) {
	var sum disk
	for line := range lines(b) {
		for field := range bytes.FieldsSeq(line) {
			key, value, ok := bytes.Cut(field, []byte{'='})
			if !ok {
				continue // the device, or what a later kernel adds
			}
			var to *int64
			switch string(key) {
			case "rbytes":
				to = &sum.readBytes
			case "wbytes":
				to = &sum.writeBytes
			case "rios":
				to = &sum.reads
			case "wios":
				to = &sum.writes
			default:
				continue
			}
			v, err := number(value)
			if err != nil {
				return disk{}, fmt.Errorf("%s: %w", key, err)
			}
			*to = plus(*to, v)
		}
	}
	return sum, nil
}

// parseBlkio reads v1's blkio.throttle.io_service_bytes and blkio.throttle.io_serviced: `8:0 Read 4096`. found is false where
// nothing was counted: many kernels do so on v1 only for devices that are throttled, and show no device, or zeros.
func parseBlkio(b []byte) (read, write int64, found bool, err error) {
	for line := range lines(b) {
		var to *int64
		switch {
		case bytes.Contains(line, []byte(" Read ")):
			to = &read
		case bytes.Contains(line, []byte(" Write ")):
			to = &write
		default:
			continue // Sync, Async, Discard, and `Total 4096`
		}
		v, err := number(line[bytes.LastIndexByte(line, ' '):])
		if err != nil {
			return 0, 0, false, err
		}
		*to, found = plus(*to, v), found || v > 0
	}
	return read, write, found, nil
}

// pressure is one line of a PSI file: the share of the last 10 seconds (0 to 1), and the total time (µs).
type pressure struct {
	avg10 float64
	total int64
	known bool
}

// pressures are those of a resource: what some tasks waited, and what all of them did.
type pressures struct{ some, full pressure }

// parsePressure reads a PSI file (Documentation/accounting/psi.rst): `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
func parsePressure(b []byte) (pressures, error) {
	var both pressures
	for line := range lines(b) {
		kind, rest, _ := bytes.Cut(line, []byte{' '})
		p := pressure{known: true}
		for field := range bytes.FieldsSeq(rest) {
			key, value, _ := bytes.Cut(field, []byte{'='})
			var err error
			switch string(key) {
			case "avg10":
				p.avg10, err = share(value)
			case "total":
				p.total, err = number(value)
			}
			if err != nil {
				return pressures{}, fmt.Errorf("%s: %w", key, err)
			}
		}
		switch string(kind) {
		case "some":
			both.some = p
		case "full":
			both.full = p
		default:
			return pressures{}, fmt.Errorf("line %.60q is neither some nor full", line)
		}
	}
	return both, nil
}

// share reads a percentage with two decimals as a share from 0 to 1.
func share(b []byte) (float64, error) {
	whole, decimals, _ := bytes.Cut(b, []byte{'.'})
	w, err := number(whole)
	var d int64
	if err == nil && len(decimals) > 0 {
		d, err = number(decimals)
	}
	if err != nil || w > 100 || len(decimals) > 2 {
		return 0, fmt.Errorf("%.40q is no percentage with up to two decimals", b)
	}
	if len(decimals) == 1 {
		d *= 10
	}
	return float64(min(w*100+d, 10_000)) / 10_000, nil
}

// parseCPUMax reads v2's cpu.max: `max 100000` or `50000 100000`, in µs. limited is false where there is no quota.
func parseCPUMax(b []byte) (quota, period int64, limited bool, err error) {
	first, second, ok := bytes.Cut(bytes.TrimSpace(b), []byte{' '})
	if !ok {
		return 0, 0, false, fmt.Errorf("%.40q is not `quota period`", b)
	}
	if quota, limited, err = parseInt(first); err != nil || !limited {
		return 0, 0, false, err
	}
	if period, err = number(second); err != nil || period == 0 {
		return 0, 0, false, fmt.Errorf("period is %.40q, want a positive number", second)
	}
	return quota, period, true, nil
}

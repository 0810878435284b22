package cgroupreceiver

import (
	"bytes"
	"fmt"
	"strconv"
)

// noLimit is what v1 shows for no limit: the largest page-aligned int64, whatever the page size. v2 says max.
const noLimit = 1 << 62

// parseInt reads a file that holds one number, or max for none. ok is false where there is no limit.
func parseInt(b []byte) (v int64, ok bool, err error) {
	b = bytes.TrimSpace(b)
	if string(b) == "max" || string(b) == "-1" {
		return 0, false, nil
	}
	u, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%.40q is no number", b)
	}
	if u >= noLimit {
		return 0, false, nil
	}
	return int64(u), true, nil
}

// eachKey calls visit for each line `key value` of a flat-keyed file (memory.stat, memory.events, cpu.stat, pids.events).
// Lines that are not of that form are an error; values beyond int64 are cut.
func eachKey(b []byte, visit func(key []byte, value int64)) error {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(line) == 0 {
			continue
		}
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
		return 0, fmt.Errorf("a number is missing")
	}
	var v int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%.40q is no number", b)
		}
		if v > (1<<63-1-9)/10 {
			return 1<<63 - 1, nil
		}
		v = v*10 + int64(c-'0')
	}
	return v, nil
}

// io is what block devices did for a cgroup, all devices together.
type io struct{ readBytes, writeBytes, reads, writes int64 }

// parseIOStat reads v2's io.stat: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
func parseIOStat(b []byte) (io, error) {
	var sum io
	for _, line := range bytes.Split(b, []byte{'\n'}) {
		for _, field := range bytes.Fields(line) {
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
				return io{}, err
			}
			*to += v
		}
	}
	return sum, nil
}

// parseBlkio reads v1's blkio.throttle.io_service_bytes and blkio.throttle.io_serviced: `8:0 Read 4096`.
func parseBlkio(b []byte) (read, write int64, err error) {
	for _, line := range bytes.Split(b, []byte{'\n'}) {
		f := bytes.Fields(line)
		if len(f) != 3 {
			continue // `Total 4096`
		}
		v, err := number(f[2])
		if err != nil {
			return 0, 0, err
		}
		switch string(f[1]) {
		case "Read":
			read += v
		case "Write":
			write += v
		}
	}
	return read, write, nil
}

// pressure is one line of a PSI file: the share of the last 10 seconds (0 to 1), and the total time (µs).
type pressure struct {
	avg10 float64
	total int64
}

// parsePressure reads a PSI file (Documentation/accounting/psi.rst): `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
func parsePressure(b []byte) (some, full *pressure, err error) {
	for _, line := range bytes.Split(b, []byte{'\n'}) {
		f := bytes.Fields(line)
		if len(f) == 0 {
			continue
		}
		var p pressure
		for _, field := range f[1:] {
			key, value, _ := bytes.Cut(field, []byte{'='})
			switch string(key) {
			case "avg10":
				percent, err := strconv.ParseFloat(string(value), 64)
				if err != nil || !(percent >= 0 && percent <= 100) {
					return nil, nil, fmt.Errorf("avg10 is %.40q, want a percentage", value)
				}
				p.avg10 = percent / 100
			case "total":
				if p.total, err = number(value); err != nil {
					return nil, nil, err
				}
			}
		}
		switch string(f[0]) {
		case "some":
			some = &p
		case "full":
			full = &p
		default:
			return nil, nil, fmt.Errorf("line %.60q is neither some nor full", line)
		}
	}
	return some, full, nil
}

// parseCPUMax reads v2's cpu.max: `max 100000` or `50000 100000`. ok is false where there is no quota.
func parseCPUMax(b []byte) (cpus float64, ok bool, err error) {
	f := bytes.Fields(b)
	if len(f) != 2 {
		return 0, false, fmt.Errorf("%.40q is not `quota period`", b)
	}
	quota, limited, err := parseInt(f[0])
	if err != nil || !limited {
		return 0, false, err
	}
	period, err := number(f[1])
	if err != nil || period == 0 {
		return 0, false, fmt.Errorf("period is %.40q, want a positive number", f[1])
	}
	return float64(quota) / float64(period), true, nil
}

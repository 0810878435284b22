//go:build linux

package python

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// offsets are where fields are in the structures of CPython on 64-bit machines. Taken from the headers of each version; what is read is held
// against what must be true of it besides.
type offsets struct {
	minor int
	// _PyRuntimeState and PyInterpreterState
	interpreters, next, threads, modules uint64
	// gc.generations of PyInterpreterState, in 3.8 of _PyRuntimeState
	generations uint64
	// PyThreadState; frame is that of a structure in between in 3.11 and 3.12.
	threadNext, threadInterp, frame uint64
	between                         bool
	betweenFrame                    uint64
	// The frame of a function that runs: PyFrameObject, from 3.11 on _PyInterpreterFrame; the latter is part of a generator.
	previous, code, locals, generatorFrame uint64
	// PyCodeObject; usedNames are those of globals and attributes, codeNames tuples of those of its variables
	codeName, codeFile, codeLine, usedNames uint64
	codeNames                               []uint64
	// PyFunctionObject
	functionCode, defaults, keywordDefaults, closure, functionDict uint64
	// PyHeapTypeObject
	qualname, cachedKeys uint64
	// sizes of the structures before a str's characters: if they are ASCII, and if not
	ascii, compact uint64
	// keys of a dict: from 3.11 on they may be without hashes, and sizes are logarithms
	entries   uint64
	compacted bool
	values    uint64 // where they begin in PyDictValues
}

var (
	offsets38 = offsets{
		minor: 8, interpreters: 32, next: 0, threads: 8, modules: 56, generations: 368, threadNext: 8, threadInterp: 16, frame: 24,
		previous: 24, code: 32, locals: 360, codeName: 112, codeFile: 104, codeLine: 40, usedNames: 64, codeNames: []uint64{72, 88, 80},
		functionCode: 16, defaults: 32, keywordDefaults: 40, closure: 48, functionDict: 72, qualname: 864, cachedKeys: 872, ascii: 48, compact: 72, entries: 40,
	}
	offsets39  = offsets38.with(func(o *offsets) { o.minor, o.modules, o.generations, o.qualname, o.cachedKeys = 9, 856, 640, 856, 864 })
	offsets310 = offsets38.with(func(o *offsets) {
		o.minor, o.modules, o.generations, o.locals = 10, 856, 640, 352
		o.functionCode, o.defaults, o.keywordDefaults, o.closure, o.functionDict = 48, 56, 64, 72, 88
	})
	offsets311 = offsets310.with(func(o *offsets) {
		o.minor, o.interpreters, o.threads, o.modules, o.generations = 11, 40, 16, 888, 672
		o.frame, o.between, o.betweenFrame = 56, true, 8
		o.previous, o.code, o.locals, o.generatorFrame = 48, 32, 72, 80
		o.codeName, o.codeFile, o.codeLine, o.usedNames, o.codeNames = 128, 112, 72, 32, []uint64{96}
		o.entries, o.compacted = 32, true
	})
	offsets312 = offsets311.with(func(o *offsets) {
		o.minor, o.threads, o.modules, o.generations, o.betweenFrame = 12, 72, 944, 136, 0
		o.previous, o.code, o.generatorFrame, o.codeLine = 8, 0, 72, 68
		o.qualname, o.cachedKeys, o.ascii, o.compact = 872, 880, 40, 56
	})
	offsets313 = offsets312.with(func(o *offsets) {
		o.minor, o.interpreters, o.next, o.threads, o.modules = 13, 632, 7264, 7344, 7656
		o.frame, o.between, o.generatorFrame, o.values = 72, false, 72, 8
	})
)

func (o offsets) with(change func(*offsets)) offsets {
	change(&o)
	return o
}

// known are those of each minor version.
var known = map[int]offsets{8: offsets38, 9: offsets39, 10: offsets310, 11: offsets311, 12: offsets312, 13: offsets313}

// inPath is how a version shows in the names of programs, libraries and folders.
var inPath = regexp.MustCompile(`(?:python|cpython-)3\.?([0-9]{1,2})(?:[^0-9]|$)`)

// offsetsOf tells which are those of a process. version is the value of Py_Version, 0 for those before 3.11, which do not export it.
func offsetsOf(version uint64, maps []process.Mapping) (offsets, error) {
	minor := int(version >> 16 & 0xff)
	if version == 0 {
		for _, m := range maps {
			if found := inPath.FindStringSubmatch(m.Path); found != nil {
				minor, _ = strconv.Atoi(found[1])
				break
			}
		}
	} else if version>>24 != 3 {
		minor = 0
	}
	o, ok := known[minor]
	switch {
	case minor == 0:
		return o, fmt.Errorf("which version of Python it is is not known")
	case !ok:
		return o, fmt.Errorf("version 3.%d of Python is not among those whose memory can be read: 3.8 to 3.13", minor)
	}
	return o, nil
}

// debugOffsets are those that 3.13 and later tell of themselves, at the beginning of _PyRuntime (pycore_runtime.h).
const debugCookie = "xdebugpy"

// improve takes what the process tells of itself.
func (o *offsets) improve(m memory, runtime uint64) error {
	if o.minor < 13 {
		return nil
	}
	b := make([]byte, 96)
	if _, err := m.ReadAt(b, int64(runtime)); err != nil {
		return err
	}
	if string(b[:8]) != debugCookie {
		return fmt.Errorf("no table of offsets where Python 3.%d has one", o.minor)
	}
	if word(b, 16) != 0 {
		return errors.New("a Python without a global lock (free-threaded) is not supported")
	}
	o.interpreters, o.next, o.threads, o.modules, o.generations = word(b, 40), word(b, 64), word(b, 72), word(b, 88), word(b, 80)+24
	for _, of := range []uint64{o.interpreters, o.next, o.threads, o.modules, o.generations} {
		if of > 1<<20 {
			return fmt.Errorf("the table of offsets has %d in it", of)
		}
	}
	return nil
}

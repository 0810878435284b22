package finding

import (
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Encode returns the JSON of a report, a finding, or a part of one. Texts come from the machines that are watched, so whatever
// a terminal or an editor might obey (C0 and C1 control characters, DEL, bidirectional controls) is written as \uXXXX:
// encoding/json does that for C0 only. The error is that of a value that JSON has no form for, such as NaN.
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	return escape(b), nil
}

// escape rewrites what encoding/json leaves as it is. All of it is in the basic plane and can only occur within strings.
func escape(b []byte) []byte {
	clean := 0 // b[:clean] is in out
	var out []byte
	for i := 0; i < len(b); {
		if b[i] < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			out = append(out, b[clean:i]...)
			out = fmt.Appendf(out, `\u%04x`, r)
			clean = i + size
		}
		i += size
	}
	if clean == 0 {
		return b
	}
	return append(out, b[clean:]...)
}

package trajectory

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatCannotBeReclaimed(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want float64
	}{
		"anonymous and shared memory":        {`{"t":1,"anon":50,"shmem":5}`, 55},
		"page cache gives way":               {`{"t":1,"usage":100,"anon":50,"file":50,"shmem":0}`, 50},
		"tmpfs is in file, and doesn't":      {`{"t":1,"usage":100,"anon":20,"file":80,"shmem":70}`, 90},
		"the kernel's own counts":            {`{"t":1,"usage":100,"anon":50,"file":20,"shmem":0}`, 80},
		"the counters don't agree for once":  {`{"t":1,"usage":10,"anon":50,"file":20,"shmem":0}`, 50},
		"usage alone has to do":              {`{"t":1,"usage":100}`, 100},
		"what isn't known isn't looked at":   {`{"t":1,"anon":7,"pgfault":12,"working_set":99}`, 7},
		"zero is a value, missing is not it": {`{"t":1,"anon":0}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse([]byte(c.line))
			require.NoError(t, err)
			require.NotNil(t, l.Reading)
			assert.Equal(t, c.want, l.Reading.Sample(1000).Used)
		})
	}
}

func TestALimitCanChange(t *testing.T) {
	l, err := Parse([]byte(`{"t":1,"anon":7,"limit":50}`))
	require.NoError(t, err)
	assert.Equal(t, 50.0, l.Reading.Sample(100).Limit)
}

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader("{\"trace\":\"a\",\"limit\":5,\"oom_at\":30}\n\n{\"t\":0,\"anon\":1}\n{\"t\":15,\"anon\":2}\n"))
	require.NoError(t, err)
	assert.Equal(t, "a", got.Trace)
	assert.Equal(t, 30.0, *got.OOMAt)
	assert.Len(t, got.Readings, 2)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "no trace in it"},
		"no header":          {`{"t":1,"anon":1}`, "line 1: a sample before the header"},
		"two traces":         {"{\"trace\":\"a\",\"limit\":5}\n{\"trace\":\"b\",\"limit\":5}", "line 2: a second trace"},
		"garbage":            {"{\"trace\":\"a\",\"limit\":5}\nx", "line 2: not a JSON object"},
		"a line without end": {strings.Repeat("x", MaxLine+1), "read a trace: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.text))
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestSilenceIsAnEmptyObject(t *testing.T) {
	b, err := json.Marshal(Answer{})
	require.NoError(t, err)
	assert.Equal(t, "{}", string(b))
	b, err = json.Marshal(Answer{OOMAt: 4, Lo: 3, Hi: 5, Confidence: 0.5, Speaks: true})
	require.NoError(t, err)
	assert.JSONEq(t, `{"oom_at":4,"lo":3,"hi":5,"confidence":0.5}`, string(b))
}

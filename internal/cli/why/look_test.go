package why

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/cli"
)

func TestTellHolders(t *testing.T) {
	site := func(kind string, objects float64) attribution.Site {
		return attribution.Site{Grade: attribution.Retained, Kind: kind, Function: "put", Callers: []string{"main"}, BytesPerMinute: 6 << 20, Share: 0.5, Objects: objects}
	}
	var b strings.Builder
	require.NoError(t, tellHolders(cli.Env{Out: &b}, attribution.Answer{
		Subject: "api", Text: "known", Sites: []attribution.Site{site("threads", 12), site("heap", 12), site("heap", 0.2)}, // a part of one that grows
	}))
	assert.Equal(t, `Who holds the memory of api
  1. put ← main
     retained, +6 MiB/min, 50 % of the growth, about 12 threads
  2. put ← main
     retained, +6 MiB/min, 50 % of the growth, about 12 objects
  3. put ← main
     retained, +6 MiB/min, 50 % of the growth
`, b.String())
}

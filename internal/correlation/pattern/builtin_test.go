package pattern_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/patterns"
)

func TestBuiltinPatternsLoad(t *testing.T) {
	all, err := pattern.Load(patterns.Files)
	require.NoError(t, err)
	require.NotEmpty(t, all)
}

package findingsexporter

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// typical is a prediction as the engine makes it: three pieces of evidence and a series of 60 values.
func typical(n int) finding.Finding {
	f := findingtest.Prediction()
	f.ID, f.Entity.Name = fmt.Sprintf("%016x", n), fmt.Sprintf("api-service-%05d", n)
	f.LastSeen = f.LastSeen.Add(time.Duration(n) * time.Millisecond)
	f.Evidence = append(f.Evidence, f.Evidence[0], f.Evidence[0])
	f.Series.Values = make([]float64, 60)
	for i := range f.Series.Values {
		f.Series.Values[i] = float64(1e8 + n*4096 + i*1_234_567)
	}
	return f
}

// full is an exporter with 1,000 findings.
func full(b *testing.B) *served {
	s := prepare(b, nil)
	for n := range 1000 {
		s.tell(typical(n))
	}
	return s
}

func BenchmarkReportOf1000(b *testing.B) {
	s := full(b)
	handler := s.handler()
	first := httptest.NewRecorder()
	handler.ServeHTTP(first, httptest.NewRequest(http.MethodGet, "/v1/findings", nil))
	for _, c := range []struct {
		name, field, value string
		status             int
	}{
		{"plain", "Accept", "application/json", http.StatusOK},
		{"gzip", "Accept-Encoding", "gzip", http.StatusOK},
		{"unchanged", "If-None-Match", first.Header().Get("ETag"), http.StatusNotModified},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var out *httptest.ResponseRecorder
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/v1/findings", nil)
				r.Header.Set(c.field, c.value)
				out = httptest.NewRecorder()
				handler.ServeHTTP(out, r)
			}
			require.Equal(b, c.status, out.Code)
			b.ReportMetric(float64(out.Body.Len()), "B-sent/op")
		})
	}
}

// BenchmarkTake is what one event costs, parsing included.
func BenchmarkTake(b *testing.B) {
	s := full(b)
	w := findinglog.New()
	w.Append(typical(500))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, s.consume(b.Context(), w.Logs()))
	}
}

// BenchmarkStoreOf1000 tells the memory that 1,000 findings take, ring of changes included.
func BenchmarkStoreOf1000(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		s := full(b)
		b.ReportMetric(heap()-before, "B-heap")
		b.ReportMetric(float64(s.store.bytes()), "B-json")
		runtime.KeepAlive(s)
	}
}

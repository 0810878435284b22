package findingsexporter

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding/findingtest"
)

func TestETagChangesWithTheContentAlone(t *testing.T) {
	s := serve(t, nil)
	s.tell(findingtest.Samples()...)
	s.tellStatus(findingtest.Status())
	first, _ := s.get("/v1/findings")
	etag := first.Header.Get("ETag")
	require.Regexp(t, `^W/"[0-9a-f]+"$`, etag)

	s.now = func() time.Time { return findingtest.Now.Add(time.Second) }
	later, body := s.get("/v1/findings")
	assert.Equal(t, etag, later.Header.Get("ETag"), "the time of the report alone is no change")
	assert.Contains(t, string(body), `"generatedAt":"2026-03-04T10:00:01.123456789Z"`)
	for _, known := range []string{etag, `"other", ` + etag, "*", etag[2:]} {
		same, body := s.get("/v1/findings", "If-None-Match", known)
		assert.Equal(t, http.StatusNotModified, same.StatusCode, known)
		assert.Empty(t, body)
		assert.Equal(t, etag, same.Header.Get("ETag"))
	}
	same, _ := s.get("/v1/findings", "If-None-Match", `"other"`, "If-None-Match", etag)
	assert.Equal(t, http.StatusNotModified, same.StatusCode, "in a field of its own")
	other, _ := s.get("/v1/findings", "If-None-Match", `W/"0"`)
	assert.Equal(t, http.StatusOK, other.StatusCode)
	filtered, _ := s.get("/v1/findings?kind=prediction", "If-None-Match", etag)
	assert.Equal(t, http.StatusOK, filtered.StatusCode)

	f := findingtest.Prediction()
	f.Confidence, f.LastSeen = 0.92, f.LastSeen.Add(time.Second)
	one, _ := s.get("/v1/findings/" + f.ID)
	s.tell(f)
	for path, was := range map[string]string{"/v1/findings": etag, "/v1/findings/" + f.ID: one.Header.Get("ETag")} {
		changed, _ := s.get(path, "If-None-Match", was)
		assert.Equal(t, http.StatusOK, changed.StatusCode, path)
	}
}

func TestAnswersAreGzippedOnRequest(t *testing.T) {
	s := serve(t, nil)
	s.tell(findingtest.Samples()...)
	for _, path := range []string{"/v1/findings", "/v1/findings/" + findingtest.Prediction().ID, "/v1/schema", "/v1/openapi.yaml"} {
		plain, want := s.get(path)
		assert.Empty(t, plain.Header.Get("Content-Encoding"))
		zipped, body := s.get(path, "Accept-Encoding", "gzip")
		require.Equal(t, "gzip", zipped.Header.Get("Content-Encoding"), path)
		assert.Contains(t, zipped.Header.Get("Vary"), "Accept-Encoding")
		assert.Equal(t, plain.Header.Get("Content-Type"), zipped.Header.Get("Content-Type"))
		assert.Equal(t, plain.Header.Get("ETag"), zipped.Header.Get("ETag"))
		assert.Less(t, len(body), len(want))
		r, err := gzip.NewReader(bytes.NewReader(body))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
		same, body := s.get(path, "Accept-Encoding", "gzip", "If-None-Match", zipped.Header.Get("ETag"))
		assert.Equal(t, http.StatusNotModified, same.StatusCode)
		assert.Empty(t, body)
	}
}

func TestHeadAnswersWithoutABody(t *testing.T) {
	s := serve(t, nil)
	s.tell(findingtest.Samples()...)
	for _, path := range []string{"/v1/findings", "/v1/findings/" + findingtest.Prediction().ID, "/v1/schema"} {
		get, _ := s.get(path)
		head := s.request(http.MethodHead, path)
		body, err := io.ReadAll(head.Body)
		require.NoError(t, err)
		assert.Empty(t, body)
		assert.Equal(t, http.StatusOK, head.StatusCode)
		assert.Equal(t, get.Header.Get("ETag"), head.Header.Get("ETag"))
		assert.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"))
	}
}

func TestTextsAreServedAsDataOnly(t *testing.T) {
	s := serve(t, nil)
	f := findingtest.Prediction()
	f.Title, f.Explanation, f.Entity.Name, f.Evidence[0].Text = findingtest.Hostile, findingtest.Hostile, findingtest.Hostile, findingtest.Hostile
	s.tell(f)
	st := findingtest.Status()
	st.Node, st.Coverage[1].Reason, st.Learning[0].Entity.Name = findingtest.Hostile, findingtest.Hostile, findingtest.Hostile
	st.Watched[findingtest.Hostile] = 1
	s.tellStatus(st)
	for _, path := range []string{"/v1/findings", "/v1/findings/" + f.ID, "/v1/findings/%1b%5b31m%c2%9b", "/v1/findings?%1b%c2%9b=1"} {
		_, body := s.get(path)
		for _, r := range string(body) {
			require.False(t, r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x202e || r == 0x2066, "%U in %s: %q", r, path, body)
		}
		assert.NotContains(t, string(body), "<script>")
	}
}

package findingsexporter

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/your-org/tapio/internal/finding"
)

// hash is what the ETag of some content is made of.
func hash(content ...[]byte) uint64 {
	h := xxhash.New()
	for _, part := range content {
		_, _ = h.Write(part) // never fails
	}
	return h.Sum64()
}

// answer sends a body, or 304 when the client has it already; sum is the hash of what matters in the body.
func answer(w http.ResponseWriter, r *http.Request, kind string, sum uint64, body ...[]byte) {
	// Weak: with gzip the bytes differ, the meaning does not.
	etag := fmt.Sprintf(`W/"%x"`, sum)
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	for _, line := range r.Header.Values("If-None-Match") {
		for known := range strings.SplitSeq(line, ",") {
			if known = strings.TrimSpace(known); known == "*" || known == etag || "W/"+known == etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
	}
	w.Header().Set("Content-Type", kind)
	for _, part := range body {
		if _, err := w.Write(part); err != nil {
			return // the client is gone
		}
	}
}

// problem is an error as RFC 9457 has it. Parameter and Allowed are ours: what is wrong in the query, and what would be right.
type problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	Parameter string   `json:"parameter,omitempty"`
	Allowed   []string `json:"allowed,omitempty"`
}

// refuse answers with a problem; its type and title are those of its status.
func refuse(w http.ResponseWriter, p problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	body, err := finding.Encode(p)
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

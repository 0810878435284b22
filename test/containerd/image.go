//go:build linux

package containerd

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// Image is the image of all pods. Its program is /workload.
const Image = "tapio.test/workload:1"

// writeImage writes an archive of the image, as `docker save` makes them: one layer with one static program. What is run
// without arguments is `workload pause`, which is what the sandbox of a pod needs.
func writeImage(archive, name, program string) error {
	return WriteImage(archive, name, map[string]string{"workload": program}, "/workload", "pause")
}

// WriteImage writes an archive of an image of one layer: files of this machine by their path in it, and what is run without arguments.
func WriteImage(archive, name string, files map[string]string, command ...string) error {
	texts := map[string][]byte{}
	for path, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("make an image: %w", err)
		}
		texts[path] = text
	}
	layer, err := tarOf(texts, slices.Sorted(maps.Keys(texts))...)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config":  map[string]any{"Cmd": command, "Env": []string{"PATH=/bin"}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
		"history": []any{map[string]any{"created_by": "test/containerd", "comment": name}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	all, err := tarOf(map[string][]byte{"layer.tar": layer, "config.json": config, "manifest.json": manifest}, "layer.tar", "config.json", "manifest.json")
	if err != nil {
		return err
	}
	return os.WriteFile(archive, all, 0o600)
}

// tarOf is an archive of files, in order.
func tarOf(files map[string][]byte, order ...string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range order {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

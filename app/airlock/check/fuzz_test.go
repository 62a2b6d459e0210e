package check

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFile: whatever the bytes, a check ends, is deterministic, stays within its
// bounds, and a page of the same bytes can be read.
func FuzzFile(f *testing.F) {
	for _, dir := range []string{"planted", "clean"} {
		files, _ := filepath.Glob("testdata/" + dir + "/*")
		for _, name := range files {
			if b, err := os.ReadFile(name); err == nil && len(b) < 4096 {
				f.Add(ext(name), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		name := "x." + kind
		one := File(context.Background(), Standard(10), name, int64(len(b)), bytes.NewReader(b))
		two := File(context.Background(), Standard(10), name, int64(len(b)), bytes.NewReader(b))
		if show(one.Findings) != show(two.Findings) {
			t.Errorf("not deterministic:\n%s\n%s", show(one.Findings), show(two.Findings))
		}
		if len(one.Findings) > 2*maxFindings {
			t.Errorf("%d findings", len(one.Findings))
		}
		for _, x := range one.Findings {
			if x.Rule == "I0" && strings.Contains(x.Message, "itself failed") {
				t.Errorf("the check panicked")
			}
			if x.Message == "" || x.Next == "" || x.Severity == "" {
				t.Errorf("%+v", x)
			}
		}
		if one.Kind == KindTable {
			if _, err := ReadPage(bytes.NewReader(b), name, Standard(10), 0, 100); err != nil {
				t.Error(err)
			}
		}
	})
}

package check

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlanted: every planted case has the finding its name promises, and every
// rule that blocks is planted at least once.
func TestPlanted(t *testing.T) {
	files, err := filepath.Glob("testdata/planted/*")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d planted files, want 100 or more (%v)", len(files), err)
	}
	planted := map[string]int{}
	for _, f := range files {
		rule, name, _ := strings.Cut(filepath.Base(f), "__")
		planted[rule]++
		t.Run(rule+"/"+name, func(t *testing.T) {
			res := checkFile(t, f, name)
			if !has(res.Findings, rule) {
				t.Errorf("no finding %s in %s", rule, show(res.Findings))
			}
			if ruleByID[rule].Severity == Block && res.Blocks() == 0 {
				t.Errorf("does not block: %s", show(res.Findings))
			}
		})
	}
	for _, r := range Rules() {
		if planted[r.ID] == 0 && !elsewhere[r.ID] {
			t.Errorf("rule %s has no planted case", r.ID)
		}
	}
}

// elsewhere are rules that no single file shows; other tests cover them.
var elsewhere = map[string]bool{"I0": true, "I5": true}

// TestClean: realistic results never block, and seldom warn.
func TestClean(t *testing.T) {
	files, err := filepath.Glob("testdata/clean/*")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d clean files, want 40 or more (%v)", len(files), err)
	}
	warned := 0
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			res := checkFile(t, f, filepath.Base(f))
			if res.Blocks() > 0 {
				t.Errorf("blocks: %s", show(res.Findings))
			}
			if res.Warnings() > 0 {
				warned++
				t.Logf("warns: %s", show(res.Findings))
			}
		})
	}
	if warned*100 > 15*len(files) {
		t.Errorf("%d of %d clean files warn; at most 15 %% may", warned, len(files))
	}
}

// TestMessagesHoldNoCell: a finding must not repeat a value it guards.
func TestMessagesHoldNoCell(t *testing.T) {
	for _, secret := range []string{"ann.berg@example.org", "9434765919", "+46 70 123 45 67"} {
		data := []byte("contact,n\n" + secret + ",120\n")
		res := File(context.Background(), Standard(10), "x.csv", int64(len(data)), bytes.NewReader(data))
		if res.Blocks() == 0 || strings.Contains(show(res.Findings), secret) {
			t.Errorf("%s: %s", secret, show(res.Findings))
		}
	}
}

func checkFile(t *testing.T, file, name string) Result {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return File(context.Background(), Standard(10), name, int64(len(b)), bytes.NewReader(b))
}

func has(fs []Finding, rule string) bool {
	for _, f := range fs {
		if f.Rule == rule {
			return f.Message != "" && f.Next != "" && f.Count > 0
		}
	}
	return false
}

func show(fs []Finding) string {
	var s []string
	for _, f := range fs {
		s = append(s, f.Rule+": "+f.Message)
	}
	return strings.Join(s, " | ")
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const events = `{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"noise of a passing test\n"}
{"Action":"pass","Package":"p","Test":"A","Elapsed":0.1}
{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:7: it broke\n"}
{"Action":"fail","Package":"p","Test":"B","Elapsed":0.2}
{"Action":"output","Package":"p","Test":"C","Output":"    c_test.go:9: no Podman here\n"}
{"Action":"skip","Package":"p","Test":"C","Elapsed":0}
{"Action":"pass","Package":"q","Elapsed":1.5}
words of a compiler
`
	var out, skips, failures strings.Builder
	failed, err := report(strings.NewReader(events), &out, &skips, &failures)
	if err != nil || !failed {
		t.Fatalf("failed %v, error %v", failed, err)
	}
	for _, want := range []string{"FAILED p B", "it broke", "ok  \tq\t1.5s", "words of a compiler"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "noise") {
		t.Errorf("a passing test is heard:\n%s", out.String())
	}
	for _, want := range []string{"FAILED p B (0.2s)", "b_test.go:7: it broke", "took    1.5s q"} {
		if !strings.Contains(failures.String(), want) {
			t.Errorf("%q is missing in the failures:\n%s", want, failures.String())
		}
	}
	if strings.Contains(failures.String(), "noise") {
		t.Errorf("a passing test is among the failures:\n%s", failures.String())
	}
	if skips.String() != "p C: no Podman here\n" {
		t.Errorf("skipped: %q", skips.String())
	}
}

// What a killed run leaves behind is named: a test that began, wrote and never ended.
func TestReportOfAKilledRun(t *testing.T) {
	const events = `{"Action":"output","Package":"p","Test":"Hangs","Output":"    h_test.go:3: waiting for ever\n"}
{"Action":"output","Package":"p","Output":"panic: test timed out after 1s\n"}
{"Action":"fail","Package":"p","Elapsed":1}
`
	dir := t.TempDir()
	var out strings.Builder
	failed, err := run(strings.NewReader(events), &out, dir)
	if err != nil || !failed {
		t.Fatalf("failed %v, error %v", failed, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "failures"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FAILED p  (1.0s)", "timed out", "never ended: p Hangs", "waiting for ever"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat("x", lineWidth+1)
	got := tail(strings.Repeat("first\n", 3) + strings.Repeat("last\n", lastLines-1) + long + "\n")
	if strings.Contains(got, "first") || !strings.Contains(got, "[3 lines before these]") || strings.Contains(got, long) {
		t.Errorf("got\n%s", got)
	}
	if tail("") != "" {
		t.Error("nothing said, something shown")
	}
}

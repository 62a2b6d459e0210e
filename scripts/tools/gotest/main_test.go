package main

import (
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
	var out, skips strings.Builder
	failed, err := report(strings.NewReader(events), &out, &skips)
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
	if skips.String() != "p C: no Podman here\n" {
		t.Errorf("skipped: %q", skips.String())
	}
}

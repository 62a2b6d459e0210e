package hub

import (
	"testing"

	"tresor/fed/task"
)

// TestProblem: code and reference are read from wherever a node wrote them, and the text
// does not say them again.
func TestProblem(t *testing.T) {
	head := map[string][]string{"Tresor-Refusal": {"quota"}, "Tresor-Correlation": {"c1"}}
	for name, c := range map[string]struct {
		header map[string][]string
		body   string
		want   [3]string
	}{
		"a problem document":         {head, `{"detail":"Too many tasks. (quota; reference c1)"}`, [3]string{"quota", "Too many tasks.", "c1"}},
		"code in the body":           {nil, `{"detail":"Too many. (quota)","code":"quota"}`, [3]string{"quota", "Too many.", ""}},
		"another's code in brackets": {head, `{"detail":"Too many. (other)"}`, [3]string{"quota", "Too many. (other)", "c1"}},
		"a plain text":               {map[string][]string{"Content-Type": {"text/plain; charset=utf-8"}}, "no\n", [3]string{"refused", "no", ""}},
		"nothing":                    {nil, "", [3]string{"refused", "The node refused the task and gave no reason.", ""}},
	} {
		code, text, reference := problem(task.Answer{Status: 400, Header: c.header, Body: []byte(c.body)})
		if got := [3]string{code, text, reference}; got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if note("quota", "c1") != "(quota; reference c1)" || note("quota", "") != "(quota)" {
		t.Error(note("quota", "c1"))
	}
}

func TestSentence(t *testing.T) {
	for text, want := range map[string]string{"": "", "no": "No.", "is so.": "Is so.", "österreich": "Österreich.", "Two. Words": "Two. Words."} {
		if got := sentence(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

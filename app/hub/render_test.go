package hub

import "testing"

// TestWithReference: a reference stands once, whoever wrote it.
func TestWithReference(t *testing.T) {
	for name, c := range map[string]struct{ text, code, reference, want string }{
		"neither":           {"No.", "", "", "No."},
		"a code":            {"No.", "revoked", "", "No. (revoked)"},
		"both":              {"No.", "no-project", "r1", "No. (no-project; reference r1)"},
		"the node wrote it": {"No. (no-project; reference r1)", "no-project", "r1", "No. (no-project; reference r1)"},
		"another one's":     {"No. (no-project; reference r0)", "no-project", "r1", "No. (no-project; reference r0) (no-project; reference r1)"},
		"the code, no more": {"No. (revoked)", "revoked", "", "No. (revoked)"},
	} {
		if got := withReference(c.text, c.code, c.reference); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

package audit

import (
	"strings"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
)

func TestReasons(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		needed, ok       bool
	}{
		{"plain", " Left the\n institute. ", "Left the institute.", true, true},
		{"none", " \n\t", "", true, false},
		{"none where none is needed", " ", "", false, true},
		{"as long as may be", strings.Repeat("ü", maxReason), strings.Repeat("ü", maxReason), true, true},
		{"longer", strings.Repeat("u", maxReason+1), "", false, false},
		{"a control character", "left\x1b[2J", "", true, false},
		{"text that turns around", "left \u202e dnuor", "", true, false},
		{"bytes that are no text", "left \xff", "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := OptionalReason
			if c.needed {
				check = Reason
			}
			got, err := check("test", c.text)
			if got != c.want || (err == nil) != c.ok || err != nil && fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestReasonIsKeptBesideTheLog: the list gives the words, the log holds their hash, and
// verifying finds words that were changed, taken away or put in.
func TestReasonIsKeptBesideTheLog(t *testing.T) {
	const why = "Left the institute."
	w := newWorld(t, 2)
	w.add(t, By(rosa, "member.dropped", "project:1", "1", "person", "p").Because(why))
	w.add(t, By(rosa, "member.added", "project:1", "1"))
	w.sign(t)
	err := w.db.View(ctx, func(tx *store.Tx) error {
		list, err := w.log.List(tx, Filter{Limit: 2})
		if err != nil || list[0].Reason != "" || list[1].Reason != why || list[1].Detail["person"] != "p" || list[1].Detail[reasonHash] != hashOf(why) {
			t.Errorf("%+v, %v", list, err)
		}
		p, err := w.log.Proof(tx, 3)
		if err != nil || strings.Contains(p.Leaf, "institute") || !strings.Contains(p.Leaf, hashOf(why)) {
			t.Errorf("the leaf is %s, %v", p.Leaf, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, sql, says string }{
		{"as it was", ``, ""},
		{"changed", `UPDATE audit_reason SET text = 'Was dismissed.'`, "The reason of event 3 was changed"},
		{"removed", `DELETE FROM audit_reason`, "The reason of event 3 is missing"},
		{"put in", `INSERT INTO audit_reason VALUES (4, 'Came back.')`, "The reason of event 4 was changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := w.copyDB(t, "reason.db")
			change(t, path, c.sql)
			_, err := VerifyDB(ctx, path, w.log.VerifierKey())
			if (err == nil) != (c.says == "") || err != nil && (fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), c.says)) {
				t.Errorf("%v", err)
			}
		})
	}
}

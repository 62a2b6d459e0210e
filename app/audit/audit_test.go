package audit

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

var ctx = context.Background()

var rosa = access.Actor{ID: "0190-rosa", Handle: "rosa", Via: "web", Session: "s1"}

// world is a log with events and two checkpoints.
type world struct {
	db   *store.DB
	log  *Log
	path string
	dir  string
}

func newWorld(t testing.TB, n int) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{path: filepath.Join(dir, "tresor.db"), dir: dir}
	w.open(t)
	for i := range n {
		w.add(t, By(rosa, "job.submitted", fmt.Sprintf("job:%d", i), "p1", "rows", fmt.Sprint(i), "digest", "sha256:00ff"))
		if i == n/2 {
			w.sign(t)
		}
	}
	w.sign(t)
	return w
}

func (w *world) open(t testing.TB) {
	t.Helper()
	db, err := store.Open(ctx, w.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log, err := Open(ctx, db, filepath.Join(w.dir, "audit.key"), "tresor/test")
	if err != nil {
		t.Fatal(err)
	}
	w.db, w.log = db, log
}

func (w *world) add(t testing.TB, e Event) {
	t.Helper()
	if err := w.db.Update(ctx, func(tx *store.Tx) error { _, err := w.log.Append(tx, e); return err }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) sign(t testing.TB) Checkpoint {
	t.Helper()
	c, err := w.log.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// copyDB is a finished copy of the database at a path of its own.
func (w *world) copyDB(t testing.TB, name string) string {
	t.Helper()
	to := filepath.Join(w.dir, name)
	os.Remove(to)
	if err := w.db.Backup(ctx, to); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestVerifiesLiveCopiedAndExported(t *testing.T) {
	w := newWorld(t, 20)
	live, err := VerifyDB(ctx, w.path, w.log.VerifierKey())
	if err != nil || live.Events != 21 || live.Checkpoints != 2 || live.Signed != 21 || !live.KeyPinned {
		t.Fatalf("live: %+v, %v", live, err)
	}
	copied, err := VerifyDB(ctx, w.copyDB(t, "copy.db"), "")
	if err != nil || copied.Root != live.Root || copied.KeyPinned {
		t.Fatalf("copied: %+v, %v", copied, err)
	}
	var out bytes.Buffer
	if err := w.log.Export(ctx, &out); err != nil {
		t.Fatal(err)
	}
	exported, err := VerifyExport(ctx, bytes.NewReader(out.Bytes()), w.log.VerifierKey())
	if err != nil || exported.Root != live.Root || exported.Events != 21 {
		t.Fatalf("exported: %+v, %v", exported, err)
	}
	if pub, _ := os.ReadFile(filepath.Join(w.dir, "audit.pub")); strings.TrimSpace(string(pub)) != w.log.VerifierKey() {
		t.Error("audit.pub is not the verifier key")
	}
	if st, _ := os.Stat(filepath.Join(w.dir, "audit.key")); st.Mode().Perm() != 0o600 {
		t.Errorf("the signing key has mode %v", st.Mode())
	}
}

func TestEventsPastTheCheckpointCount(t *testing.T) {
	w := newWorld(t, 3)
	w.add(t, By(rosa, "job.held", "job:1", "p1"))
	r, err := VerifyDB(ctx, w.path, w.log.VerifierKey())
	if err != nil || r.Events != 5 || r.Signed != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestReopenKeepsKeyAndHistory(t *testing.T) {
	w := newWorld(t, 3)
	key := w.log.VerifierKey()
	w.db.Close()
	w.open(t)
	if w.log.VerifierKey() != key {
		t.Fatal("another key after a restart")
	}
	w.add(t, By(rosa, "job.held", "job:1", "p1"))
	if r, err := VerifyDB(ctx, w.path, key); err != nil || r.Events != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestAppendSharesTheCallersFate(t *testing.T) {
	w := newWorld(t, 1)
	boom := fmt.Errorf("the change failed")
	err := w.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := w.log.Append(tx, By(rosa, "job.held", "job:1", "p1")); err != nil {
			t.Fatal(err)
		}
		return boom
	})
	if err == nil {
		t.Fatal("no error")
	}
	if r, err := VerifyDB(ctx, w.path, ""); err != nil || r.Events != 2 {
		t.Errorf("an event of a change that was not made is there: %+v, %v", r, err)
	}
}

func TestVocabularyRefusals(t *testing.T) {
	w := newWorld(t, 0)
	good := By(rosa, "job.held", "job:1", "p1", "n", "1")
	for name, spoil := range map[string]func(*Event){
		"verb without noun":     func(e *Event) { e.Verb = "held" },
		"verb with spaces":      func(e *Event) { e.Verb = "job.was held" },
		"subject with spaces":   func(e *Event) { e.Subject = "job:a b" },
		"no subject":            func(e *Event) { e.Subject = "" },
		"detail key upper case": func(e *Event) { e.Detail = map[string]string{"Name": "x"} },
		"line break in a value": func(e *Event) { e.Detail = map[string]string{"n": "a\nb"} },
		"bidi in a value":       func(e *Event) { e.Detail = map[string]string{"n": "a\u202eb"} },
		"zero width in a name":  func(e *Event) { e.ActorName = "ro\u200bsa" },
		"invalid UTF-8":         func(e *Event) { e.Session = "\xff" },
		"value too long":        func(e *Event) { e.Detail = map[string]string{"n": strings.Repeat("x", maxValue+1)} },
		"too many details":      func(e *Event) { e.Detail = many(maxDetails + 1) },
	} {
		t.Run(name, func(t *testing.T) {
			e := good
			spoil(&e)
			err := w.db.Update(ctx, func(tx *store.Tx) error { _, err := w.log.Append(tx, e); return err })
			if fault.KindOf(err) != fault.Internal {
				t.Errorf("error %v", err)
			}
		})
	}
	if r, err := VerifyDB(ctx, w.path, ""); err != nil || r.Events != 1 {
		t.Errorf("a refused event left something: %+v, %v", r, err)
	}
}

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("k%d", i)] = "v"
	}
	return m
}

func TestListAndTimeline(t *testing.T) {
	w := newWorld(t, 10)
	w.add(t, By(rosa, "job.held", "job:3", "p2"))
	for _, c := range []struct {
		name  string
		f     Filter
		count int
		first int64
	}{
		{"all, newest first", Filter{}, 12, 11},
		{"subject", Filter{Subject: "job:3"}, 2, 11},
		{"project", Filter{Project: "p1"}, 10, 10},
		{"verb", Filter{Verb: "job.held"}, 1, 11},
		{"noun", Filter{Verb: "job."}, 11, 11},
		{"noun with a wildcard is no pattern", Filter{Verb: "%."}, 12, 11},
		{"person", Filter{Actor: rosa.ID}, 11, 11},
		{"page", Filter{Before: 5, Limit: 2}, 2, 4},
		{"none", Filter{Subject: "job:x"}, 0, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			_ = w.db.View(ctx, func(tx *store.Tx) error {
				got, err := w.log.List(tx, c.f)
				if err != nil || len(got) != c.count || (c.count > 0 && got[0].Seq != c.first) {
					t.Errorf("%d events, error %v", len(got), err)
				}
				return nil
			})
		})
	}
	_ = w.db.View(ctx, func(tx *store.Tx) error {
		got, err := w.log.Timeline(tx, "job:3")
		if err != nil || len(got) != 2 || got[0].Verb != "job.submitted" || got[1].ActorName != "rosa" {
			t.Errorf("timeline %+v, %v", got, err)
		}
		return nil
	})
}

func TestProofs(t *testing.T) {
	w := newWorld(t, 13)
	w.add(t, By(rosa, "job.held", "job:1", "p1")) // not signed yet: event 14
	key := w.log.VerifierKey()
	_ = w.db.View(ctx, func(tx *store.Tx) error {
		for seq := range int64(14) {
			p, err := w.log.Proof(tx, seq)
			if err != nil {
				t.Fatal(err)
			}
			if e, c, signed, err := p.Verify(key); err != nil || !signed || e.Seq != seq || c.Size != 14 {
				t.Errorf("event %d: %v", seq, err)
			}
			if _, _, signed, err := p.Verify(""); err != nil || signed {
				t.Errorf("event %d without a key: signed %v, %v", seq, signed, err)
			}
			spoilt := p
			spoilt.Leaf = strings.Replace(p.Leaf, "rosa", "eve!", 1)
			if spoilt.Leaf != p.Leaf {
				if _, _, _, err := spoilt.Verify(key); err == nil {
					t.Errorf("event %d: a changed event verifies", seq)
				}
			}
			other := p
			other.Checkpoint = strings.Replace(p.Checkpoint, "14\n", "15\n", 1)
			if _, _, _, err := other.Verify(key); err == nil {
				t.Errorf("event %d: a changed checkpoint verifies", seq)
			}
		}
		if _, err := w.log.Proof(tx, 14); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("an unsigned event: %v", err)
		}
		if _, err := w.log.Proof(tx, 99); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an absent event: %v", err)
		}
		if _, err := w.log.Consistency(tx, 8, 14); err != nil {
			t.Error(err)
		}
		if _, err := w.log.Consistency(tx, 8, 99); fault.KindOf(err) != fault.Invalid {
			t.Errorf("sizes beyond the log: %v", err)
		}
		return nil
	})
}

func TestTablesRefuseChange(t *testing.T) {
	w := newWorld(t, 3)
	w.add(t, By(rosa, "member.dropped", "project:1", "1").Because("Left."))
	for _, q := range []string{
		`UPDATE audit_leaf SET leaf = '{}' WHERE seq = 1`, `DELETE FROM audit_leaf WHERE seq = 3`, `UPDATE audit_hash SET hash = zeroblob(32)`,
		`DELETE FROM audit_hash`, `DELETE FROM audit_checkpoint`, `UPDATE audit_reason SET text = 'x'`, `DELETE FROM audit_reason`, `UPDATE audit_checkpoint SET note = ''`,
	} {
		if err := w.db.Update(ctx, func(tx *store.Tx) error { _, err := tx.Exec(q); return err }); err == nil {
			t.Errorf("%s was accepted", q)
		}
	}
}

// TestTampering changes the copy as somebody would who owns the file.
func TestTampering(t *testing.T) {
	w := newWorld(t, 12)
	key := w.log.VerifierKey()
	leafOf := func(seq int) string { return fmt.Sprintf(`(SELECT leaf FROM audit_leaf WHERE seq = %d)`, seq) }
	for _, c := range []struct{ name, sql, says string }{
		{"event changed", `UPDATE audit_leaf SET leaf = replace(leaf, '"rosa"', '"eve0"') WHERE seq = 5`, "Event 5"},
		{"event padded", `UPDATE audit_leaf SET leaf = leaf || ' ' WHERE seq = 5`, "Event 5"},
		{"event removed", `DELETE FROM audit_leaf WHERE seq = 5`, "Event 5 is missing"},
		{"newest event removed", `DELETE FROM audit_leaf WHERE seq = 12`, "Event 12 was removed"},
		{"tail removed with its hashes", `DELETE FROM audit_leaf WHERE seq = 12; DELETE FROM audit_hash WHERE idx >= 22`, "cut off"},
		{"events swapped", `UPDATE audit_leaf SET leaf = CASE seq WHEN 3 THEN ` + leafOf(4) + ` ELSE ` + leafOf(3) + ` END WHERE seq IN (3, 4)`, "Event 3"},
		{"event added", `INSERT INTO audit_leaf (seq, leaf) SELECT 13, replace(leaf, '"seq":12', '"seq":13') FROM audit_leaf WHERE seq = 12`, "hash of event 13 is missing"},
		{"hash changed", `UPDATE audit_hash SET hash = zeroblob(32) WHERE idx = 4`, "does not match"},
		{"inner hash changed", `UPDATE audit_hash SET hash = zeroblob(32) WHERE idx = 2`, "does not match"},
		{"hash removed", `DELETE FROM audit_hash WHERE idx = 4`, "does not match"},
		{"hash added", `INSERT INTO audit_hash VALUES (99, zeroblob(32))`, "was removed"},
		{"checkpoint changed", `UPDATE audit_checkpoint SET note = replace(note, 'tresor', 'tresoR') WHERE size = 13`, "13"},
		{"checkpoint moved", `UPDATE audit_checkpoint SET size = 9 WHERE size = 13`, "13"},
		{"all events removed", `DELETE FROM audit_leaf`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := w.copyDB(t, "tampered.db")
			change(t, path, c.sql)
			_, err := VerifyDB(ctx, path, key)
			if fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		other := newWorld(t, 1)
		if _, err := VerifyDB(ctx, w.copyDB(t, "k.db"), other.log.VerifierKey()); fault.KindOf(err) != fault.Conflict {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an older database under a newer checkpoint", func(t *testing.T) {
		old := w.copyDB(t, "old.db")
		w.add(t, By(rosa, "job.held", "job:1", "p1"))
		c := w.sign(t)
		change(t, old, fmt.Sprintf(`INSERT INTO audit_checkpoint VALUES (%d, '%s')`, c.Size, c.Note))
		if _, err := VerifyDB(ctx, old, key); fault.KindOf(err) != fault.Conflict {
			t.Errorf("error %v", err)
		}
	})
}

func change(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"leaf", "hash", "checkpoint", "reason"} {
		query = fmt.Sprintf("DROP TRIGGER IF EXISTS audit_%[1]s_fixed; DROP TRIGGER IF EXISTS audit_%[1]s_kept; ", table) + query
	}
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBytes flips bytes of a copied file, one at a time: all of each page's head
// and a third of what follows; TestEveryFlippedByteOfSmallPages leaves out none. Where
// verification still passes, the log's content must be what it was: the byte lies in
// unused space, a counter or another table.
func TestFlippedBytes(t *testing.T) {
	w := newWorld(t, 8)
	key := w.log.VerifierKey()
	path := w.copyDB(t, "flip.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, path)
	pages := pagesWith(whole, "job.submitted", w.log.VerifierKey(), w.sign(t).RootText())
	caught, spared := 0, 0
	flip := filepath.Join(w.dir, "one.db")
	for _, p := range pages {
		for i := p * 4096; i < (p+1)*4096; i++ {
			if whole[i] == 0 && i%16 != 0 || i-p*4096 >= 128 && i%3 != 0 {
				continue // a sample is enough
			}
			b := bytes.Clone(whole)
			b[i] ^= 0x20
			if err := os.WriteFile(flip, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyDB(ctx, flip, key); err != nil {
				caught++
				continue
			}
			spared++
			if got := content(t, flip); got != want {
				t.Fatalf("byte %d flipped: verification passes, yet the log reads differently", i)
			}
		}
	}
	if caught < 500 {
		t.Fatalf("only %d flips were caught (%d spared): the test does not reach the log", caught, spared)
	}
	t.Logf("%d flips caught, %d in unused bytes", caught, spared)
}

// pagesWith are the numbers of the 4096-byte pages that hold one of the texts.
func pagesWith(file []byte, texts ...string) []int {
	var out []int
	for p := 0; (p+1)*4096 <= len(file); p++ {
		for _, s := range texts {
			if bytes.Contains(file[p*4096:(p+1)*4096], []byte(s)) {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

func content(t *testing.T, path string) string {
	t.Helper()
	db, err := store.OpenReadOnly(path)
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	var all string
	if err := db.QueryRow(`SELECT (SELECT group_concat(seq || leaf) FROM (SELECT * FROM audit_leaf ORDER BY seq)) || (SELECT group_concat(idx || hex(hash)) FROM (SELECT * FROM audit_hash ORDER BY idx)) || (SELECT group_concat(size || note) FROM audit_checkpoint)`).Scan(&all); err != nil {
		return err.Error()
	}
	return all
}

func TestExportRefusals(t *testing.T) {
	w := newWorld(t, 6)
	var out bytes.Buffer
	if err := w.log.Export(ctx, &out); err != nil {
		t.Fatal(err)
	}
	good := out.String()
	lines := strings.SplitAfter(good, "\n")
	for name, text := range map[string]string{
		"empty":            "",
		"another file":     "hello\n",
		"cut in the log":   strings.Join(lines[:4], ""),
		"no checkpoint":    strings.Join(lines[:8], "") + "\n",
		"event changed":    strings.Replace(good, `"rows":"3"`, `"rows":"4"`, 1),
		"event removed":    strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""),
		"events swapped":   strings.Join(append(append([]string{}, lines[0], lines[2], lines[1]), lines[3:]...), ""),
		"signature spoilt": good[:len(good)-10] + "AAAAAAAA=\n",
		"endless line":     exportHead + "\n" + strings.Repeat("x", 2*maxLeaf),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := VerifyExport(ctx, strings.NewReader(text), w.log.VerifierKey()); fault.KindOf(err) != fault.Conflict {
				t.Errorf("error %v", err)
			}
		})
	}
	for i := range len(good) {
		b := []byte(good)
		b[i] ^= 1
		if _, err := VerifyExport(ctx, bytes.NewReader(b), w.log.VerifierKey()); err == nil {
			t.Fatalf("byte %d of the export flipped and it verifies: %q", i, good[max(0, i-20):min(len(good), i+20)])
		}
	}
}

func TestLeafIsCanonical(t *testing.T) {
	e := By(rosa, "job.held", "job:1", "p1", "z", "<&>", "a", "ü")
	e.At = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	leaf, err := encode(e)
	want := `{"actor":"0190-rosa","actor_name":"rosa","at":"2026-01-02T03:04:05.006Z","detail":{"a":"ü","z":"<&>"},"project":"p1","seq":0,"session":"s1","subject":"job:1","verb":"job.held","via":"web"}`
	if err != nil || string(leaf) != want {
		t.Fatalf("%s\n%v", leaf, err)
	}
	if back, err := decode(leaf); err != nil || back.Detail["a"] != "ü" {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzLeaf(f *testing.F) {
	f.Add([]byte(`{"actor":"","actor_name":"","at":"2026-01-02T03:04:05.006Z","seq":0,"subject":"log","verb":"log.opened","via":""}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			return
		}
		if again, err := encode(e); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decode accepted what encode would not write: %s", b)
		}
	})
}

func FuzzCheckpointAndProof(f *testing.F) {
	w := newWorld(f, 5)
	var p InclusionProof
	_ = w.db.View(ctx, func(tx *store.Tx) (err error) { p, err = w.log.Proof(tx, 2); return err })
	seed, _ := json.Marshal(p)
	f.Add(seed)
	key := w.log.VerifierKey()
	f.Fuzz(func(t *testing.T, b []byte) {
		var got InclusionProof
		if json.Unmarshal(b, &got) != nil {
			return
		}
		if _, _, signed, err := got.Verify(key); err == nil && (!signed || got.Leaf != p.Leaf) {
			t.Fatalf("a proof that was never made verifies: %s", b)
		}
	})
}

func FuzzVerifyExport(f *testing.F) {
	w := newWorld(f, 3)
	var out bytes.Buffer
	if err := w.log.Export(ctx, &out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	key := w.log.VerifierKey()
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := VerifyExport(ctx, bytes.NewReader(b), key); err == nil && !bytes.Equal(b, out.Bytes()) {
			t.Fatal("a log that was never exported verifies")
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	w := newWorld(b, 1000)
	e := By(rosa, "job.submitted", "job:1", "p1", "rows", "1")
	b.ResetTimer()
	_ = w.db.Update(ctx, func(tx *store.Tx) error {
		for b.Loop() {
			if _, err := w.log.Append(tx, e); err != nil {
				b.Fatal(err)
			}
		}
		return nil
	})
}

package audit

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tresor/app/fault"
	"tresor/app/store"
)

// The verifier's own arithmetic must agree with tlog's, whose hashes are stored,
// at every size and for every stored hash.
func TestFrontierAgreesWithTlog(t *testing.T) {
	var kept []tlog.Hash
	reader := tlog.HashReaderFunc(func(idx []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(idx))
		for i, x := range idx {
			out[i] = kept[x]
		}
		return out, nil
	})
	var f frontier
	for n := range int64(300) {
		root, err := tlog.TreeHash(n, reader)
		if err != nil || root != f.root() {
			t.Fatalf("size %d: roots differ (%v)", n, err)
		}
		leaf := []byte(fmt.Sprintf("leaf %d", n))
		want, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		got := f.add(leaf)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("size %d: stored hashes differ", n+1)
		}
		kept = append(kept, got...)
	}
}

func TestConsistencyBetweenAllSizes(t *testing.T) {
	w := newWorld(t, 0)
	roots := map[int64]tlog.Hash{}
	for range 16 {
		c := w.sign(t)
		roots[c.Size] = c.Root
		w.add(t, By(rosa, "job.held", "job:1", "p1"))
	}
	_ = w.db.View(ctx, func(tx *store.Tx) error {
		for to := int64(1); to <= 16; to++ {
			for from := int64(1); from <= to; from++ {
				texts, err := w.log.Consistency(tx, from, to)
				if err != nil {
					t.Fatal(err)
				}
				if err := tlog.CheckTree(hashes(t, texts), to, roots[to], from, roots[from]); err != nil {
					t.Errorf("%d to %d: %v", from, to, err)
				}
			}
		}
		for _, c := range [][2]int64{{0, 3}, {3, 2}, {-1, 1}, {1, 18}} {
			if _, err := w.log.Consistency(tx, c[0], c[1]); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v: %v", c, err)
			}
		}
		return nil
	})
}

func hashes(t *testing.T, texts []string) tlog.TreeProof {
	t.Helper()
	var out tlog.TreeProof
	for _, s := range texts {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b) != tlog.HashSize {
			t.Fatalf("%q is no hash", s)
		}
		out = append(out, tlog.Hash(b))
	}
	return out
}

// respell sets an unused bit of the signature's last base64 character.
func respell(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.LastIndexByte(text, '=') - 1
	return text[:at] + string(alphabet[strings.IndexByte(alphabet, text[at])+1]) + text[at+1:]
}

func TestCheckpointTextIsStrict(t *testing.T) {
	w := newWorld(t, 2)
	c := w.sign(t)
	key, good := w.log.VerifierKey(), string(c.Note)
	lines := strings.Split(good, "\n")
	signature := lines[len(lines)-2]
	sign := func(text string) string {
		b, err := note.Sign(&note.Note{Text: text}, w.log.signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	root := c.RootText()
	for _, bad := range []struct{ name, text string }{
		{"a second signature by a stranger", good + "\u2014 eve AAAAAAAA\n"},
		{"the same signature twice", good + signature + "\n"},
		{"text after it", good + "x"},
		{"the signature spelt otherwise", respell(good)},
		{"signed size with a plus", sign("tresor/test\n+3\n" + root + "\n")},
		{"signed size with a zero before it", sign("tresor/test\n03\n" + root + "\n")},
		{"signed negative size", sign("tresor/test\n-3\n" + root + "\n")},
		{"signed size beyond 64 bits", sign("tresor/test\n99999999999999999999\n" + root + "\n")},
		{"signed root that is too short", sign("tresor/test\n3\nAAAA\n")},
		{"signed for another log", sign("tresor/other\n3\n" + root + "\n")},
		{"signed but cut", sign("tresor/test\n")},
	} {
		t.Run(bad.name, func(t *testing.T) {
			if got, err := parse([]byte(bad.text), key); err == nil {
				t.Errorf("accepted as %+v", got)
			}
		})
	}
	if _, err := parse(c.Note, key); err != nil {
		t.Error(err)
	}
	if _, err := parse(c.Note, "not a key"); err == nil {
		t.Error("a key that is no key was taken")
	}
}

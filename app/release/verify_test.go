package release_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"tresor/app/airlock/airlocktest"
	"tresor/app/crate"
)

// forge writes the release again with its payload changed by edit, with all of
// the bag's own hashes right: what an insider without the log's key could do.
func forge(t *testing.T, b []byte, edit func(files map[string]string)) []byte {
	t.Helper()
	z := open(t, b)
	files := map[string]string{}
	folder := ""
	for _, f := range z.File {
		top, rest, _ := strings.Cut(f.Name, "/")
		folder = top
		if p, ok := strings.CutPrefix(rest, "data/"); ok {
			files[p] = read(t, z, f.Name)
		}
	}
	info := map[string]string{"Source-Organization": "University of Example", "Bag-Software-Agent": "tresor 0.1"}
	edit(files)
	bag := crate.Bag{Folder: folder, ExternalID: "urn:uuid:" + strings.TrimPrefix(folder, "release-"), Info: info}
	for p, text := range files {
		bag.Files = append(bag.Files, crate.File{Path: p, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	}
	var out bytes.Buffer
	if err := crate.Write(&out, bag); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// swap replaces text in one file and fails if it is not there.
func swap(t *testing.T, name, old, now string) func(map[string]string) {
	return func(files map[string]string) {
		t.Helper()
		if !strings.Contains(files[name], old) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		files[name] = strings.Replace(files[name], old, now, 1)
	}
}

// TestForgeriesAreFound: each lie that a release could tell.
func TestForgeriesAreFound(t *testing.T) {
	h := newHouse(t)
	good := h.bytes(t, h.make(t, "visits.csv", airlocktest.Safe).ID)
	key := h.Log.VerifierKey()
	if !bytes.Equal(forge(t, good, func(map[string]string) {}), good) {
		t.Fatal("writing the same release again gives other bytes")
	}
	other := newHouse(t)
	foreign := other.bytes(t, other.make(t, "visits.csv", airlocktest.Safe).ID)
	if _, err := verify(foreign, key); err == nil {
		t.Error("a release of another appliance verifies with this one's key")
	}
	const m, p, c = "manifest.json", "audit-proof.json", "ro-crate-metadata.json"
	for _, f := range []struct {
		name string
		edit func(map[string]string)
	}{
		{"another file's bytes", swap(t, "outputs/visits.csv", "10922", "10923")},
		{"one more file", func(files map[string]string) { files["outputs/more.csv"] = "x" }},
		{"one more file beside", func(files map[string]string) { files["note.txt"] = "x" }},
		{"a file missing", func(files map[string]string) { delete(files, "outputs/visits.csv") }},
		{"no manifest", func(files map[string]string) { delete(files, m) }},
		{"no proof", func(files map[string]string) { delete(files, p) }},
		{"another title", swap(t, m, `"title": "Visits by health group"`, `"title": "Other"`)},
		{"another reviewer", swap(t, m, `"handle": "carl"`, `"handle": "cyril"`)},
		{"fewer reviewers needed", swap(t, m, `"needed": 2`, `"needed": 1`)},
		{"another time of approval", swap(t, m, `"at": "2026`, `"at": "2025`)},
		{"another rule set", swap(t, m, `"rules_sha256": "`, `"rules_sha256": "0`)},
		{"other findings hash", swap(t, m, `"findings_sha256": "`, `"findings_sha256": "0`)},
		{"an unknown field", swap(t, m, `{`, `{"hidden": "x",`)},
		{"blanks that carry bits", swap(t, m, `"format": `, `"format":  `)},
		{"blanks in the proof", swap(t, p, `"seq": `, `"seq":  `)},
		{"another event", swap(t, p, `airlock.approved`, `airlock.rejected`)},
		{"a broken path", swap(t, p, `"hashes": [`, `"hashes": ["x",`)},
		{"another checkpoint", swap(t, p, `tresor/test\n`, `tresor/test\n9`)},
		{"a crate that says more", swap(t, c, `"name": "Aurora"`, `"name": "Aurora and more"`)},
		{"not a manifest", func(files map[string]string) { files[m] = "[]" }},
		{"another format", swap(t, m, `tresor-release/1`, `tresor-release/2`)},
	} {
		t.Run(f.name, func(t *testing.T) {
			if _, err := verify(forge(t, good, f.edit), key); err == nil {
				t.Error("it verifies")
			}
		})
	}
	// Without the key a forger needs more than the zip: the log's arithmetic.
	if _, err := verify(forge(t, good, swap(t, p, `airlock.approved`, `airlock.rejected`)), ""); err == nil {
		t.Error("another event verifies without the key")
	}
}

// TestNoByteIsUnaccountedFor: bytes between, before and after the files.
func TestNoByteIsUnaccountedFor(t *testing.T) {
	h := newHouse(t)
	good := h.bytes(t, h.make(t, "visits.csv", airlocktest.Safe).ID)
	var deflated, commented bytes.Buffer
	rewrite(t, good, &deflated, func(f *zip.FileHeader, w *zip.Writer) { f.Method = zip.Deflate })
	rewrite(t, good, &commented, func(f *zip.FileHeader, w *zip.Writer) { f.Comment = "secret" })
	for name, bad := range map[string][]byte{
		"after the end": append(slices.Clone(good), "PK secret"...), "before the start": append([]byte("secret"), good...),
		"cut": good[:len(good)-10], "empty": {}, "in a comment": commented.Bytes(), "written otherwise": deflated.Bytes(),
	} {
		if _, err := verify(bad, ""); err == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
}

func rewrite(t *testing.T, b []byte, out io.Writer, edit func(*zip.FileHeader, *zip.Writer)) {
	t.Helper()
	w := zip.NewWriter(out)
	z := open(t, b)
	for _, f := range z.File {
		hdr := zip.FileHeader{Name: f.Name, Method: f.Method, Modified: f.Modified}
		edit(&hdr, w)
		e, err := w.CreateHeader(&hdr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(e, read(t, z, f.Name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestEveryFlippedByte: no byte of a release can change unnoticed where it
// matters: the files, the manifest and the proof.
func TestEveryFlippedByte(t *testing.T) {
	h := newHouse(t)
	good := h.bytes(t, h.make(t, "visits.csv", airlocktest.Safe).ID)
	rep, err := verify(good, h.Log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(rep)
	for i := 0; i < len(good); i += 7 {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		got, err := verify(bad, h.Log.VerifierKey())
		if err != nil {
			continue
		}
		got.SHA256 = rep.SHA256 // the zip's own hash differs, which is how a reader notices
		if now, _ := json.Marshal(got); !bytes.Equal(now, want) {
			t.Fatalf("byte %d changed and it says: %s", i, now)
		}
	}
}

func FuzzVerify(f *testing.F) {
	h := newHouse(f)
	f.Add(h.bytes(f, h.make(f, "visits.csv", airlocktest.Safe).ID))
	for _, seed := range []string{"", "PK\x05\x06", "PK\x05\x06" + strings.Repeat("\x00", 18), "PK\x03\x04" + strings.Repeat("\x00", 40)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if rep, err := verify(b, ""); err == nil && len(rep.Files) == 0 {
			t.Error("a release without files verifies")
		}
	})
}

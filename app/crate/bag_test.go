package crate

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"tresor/app/fault"
)

func verify(b []byte) (Report, error) { return Verify(bytes.NewReader(b), int64(len(b))) }

func TestWriteThenVerify(t *testing.T) {
	b := write(t, goodBag(t))
	got, err := verify(b)
	if err != nil {
		t.Fatal(err)
	}
	sum := got.Files["outputs/visits by plan.csv"]
	if got.Folder != "release-1" || got.ExternalID != "urn:uuid:"+crateID || len(got.Files) != 3 ||
		sum.SHA256 != hash256(csv) || sum.Size != int64(len(csv)) || got.Info["Source-Organization"] != "Example Institute" {
		t.Errorf("%+v", got)
	}
}

func TestSameFactsSameBytes(t *testing.T) {
	one := goodBag(t)
	two := goodBag(t)
	two.Files[0], two.Files[2] = two.Files[2], two.Files[0]
	if !bytes.Equal(write(t, one), write(t, two)) {
		t.Error("the order of the files changed the bytes")
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Bag)
	}{
		{"folder with a slash", func(b *Bag) { b.Folder = "a/b" }},
		{"folder that climbs", func(b *Bag) { b.Folder = ".." }},
		{"identifier that is no UUID", func(b *Bag) { b.ExternalID = "urn:uuid:1" }},
		{"no metadata", func(b *Bag) { b.Files = b.Files[:1] }},
		{"absolute path", func(b *Bag) { b.Files[0].Path = "/etc/passwd" }},
		{"path that climbs", func(b *Bag) { b.Files[0].Path = "outputs/../../x" }},
		{"line break in a path", func(b *Bag) { b.Files[0].Path = "a\nb" }},
		{"bidi character in a path", func(b *Bag) { b.Files[0].Path = "a\u202egpj.csv" }},
		{"backslash", func(b *Bag) { b.Files[0].Path = `a\b` }},
		{"broken UTF-8", func(b *Bag) { b.Files[0].Path = "a\xff" }},
		{"over-long path", func(b *Bag) { b.Files[0].Path = strings.Repeat("a", 2000) }},
		{"the same path twice", func(b *Bag) { b.Files[0].Path = b.Files[2].Path }},
		{"only case apart", func(b *Bag) { b.Files[0].Path = "WORKFLOW/Queries.json" }},
		{"file and folder of one name", func(b *Bag) { b.Files[0].Path = "workflow" }},
		{"line break in information", func(b *Bag) { b.Info["X"] = "a\nExternal-Identifier: b" }},
		{"reserved information", func(b *Bag) { b.Info["Payload-Oxum"] = "1.1" }},
		{"shorter than it says", func(b *Bag) { b.Files[0].Size++ }},
		{"longer than it says", func(b *Bag) { b.Files[0].Size-- }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := goodBag(t)
			c.edit(&b)
			if err := Write(io.Discard, b); fault.KindOf(err) != fault.Invalid {
				t.Errorf("error %v, want Invalid", err)
			}
		})
	}
}

func TestWriteReportsBrokenFiles(t *testing.T) {
	gone := errors.New("vault is gone")
	b := goodBag(t)
	b.Files[0].Open = func() (io.ReadCloser, error) { return nil, gone }
	if err := Write(io.Discard, b); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	enough := &breaks{left: 1 << 30}
	if err := Write(enough, goodBag(t)); err != nil {
		t.Fatal(err)
	}
	for n := range 1<<30 - enough.left { // the sink breaks at its nth write
		if err := Write(&breaks{left: n}, goodBag(t)); err == nil {
			t.Errorf("a sink that broke at write %d went unnoticed", n)
		}
	}
}

type breaks struct{ left int }

func (b *breaks) Write(p []byte) (int, error) {
	if b.left--; b.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestVerifyRefuses(t *testing.T) {
	good := unzip(t, write(t, goodBag(t)))
	find := func(es []zipEntry, suffix string) *zipEntry {
		for i := range es {
			if strings.HasSuffix(es[i].name, suffix) {
				return &es[i]
			}
		}
		t.Fatalf("no entry %s", suffix)
		return nil
	}
	drop := func(es []zipEntry, suffix string) []zipEntry {
		var out []zipEntry
		for _, e := range es {
			if !strings.HasSuffix(e.name, suffix) {
				out = append(out, e)
			}
		}
		return out
	}
	for _, c := range []struct {
		name string
		edit func([]zipEntry) []zipEntry
		want string
	}{
		{"changed output", func(es []zipEntry) []zipEntry { find(es, ".csv").text = strings.Replace(csv, "98", "99", 1); return es }, "changed"},
		{"changed metadata", func(es []zipEntry) []zipEntry { find(es, "data/"+MetadataName).text += " "; return es }, "changed"},
		{"changed information", func(es []zipEntry) []zipEntry { find(es, infoName).text += "Contact-Name: Eve\n"; return es }, "changed"},
		{"file not in the manifest", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/data/outputs/extra.csv", text: "1"})
		}, "not listed"},
		{"tag file not in the tag manifest", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/note.txt", text: "1"})
		}, "not listed"},
		{"missing output", func(es []zipEntry) []zipEntry { return drop(es, ".csv") }, "not in the package"},
		{"missing manifest", func(es []zipEntry) []zipEntry { return drop(es, "/"+manifestName) }, "lacks"},
		{"missing metadata", func(es []zipEntry) []zipEntry { return drop(es, "data/"+MetadataName) }, "not in the package"},
		{"missing declaration", func(es []zipEntry) []zipEntry { return drop(es, bagitName) }, "lacks"},
		{"missing information", func(es []zipEntry) []zipEntry { return drop(drop(es, infoName), tagsName) }, "lacks"},
		{"other version of BagIt", func(es []zipEntry) []zipEntry {
			find(es, bagitName).text = strings.Replace(bagitText, "1.0", "2.0", 1)
			return es
		}, "BagIt 1.0"},
		{"manifest that is no manifest", func(es []zipEntry) []zipEntry { find(es, "/"+manifestName).text = "hello\n"; return es }, "not a SHA-512"},
		{"manifest names a path outside", func(es []zipEntry) []zipEntry {
			find(es, "/"+manifestName).text += strings.Repeat("0", 128) + "  ../../etc/passwd\n"
			return es
		}, "plain relative"},
		{"manifest names a tag file", func(es []zipEntry) []zipEntry {
			find(es, "/"+manifestName).text += strings.Repeat("0", 128) + "  bagit.txt\n"
			return es
		}, "not in data/"},
		{"manifest lists twice", func(es []zipEntry) []zipEntry {
			e := find(es, "/"+manifestName)
			e.text += e.text
			return es
		}, "twice"},
		{"files to fetch from elsewhere", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/fetch.txt", text: "http://10.0.0.1/ 1 data/x"})
		}, "fetch.txt"},
		{"manifest in a weaker hash", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/manifest-md5.txt", text: ""})
		}, "manifest-md5"},
		{"two top folders", func(es []zipEntry) []zipEntry { return append(es, zipEntry{name: "other/x", text: "1"}) }, "one top-level"},
		{"file at the top", func(es []zipEntry) []zipEntry { return append(es, zipEntry{name: "x", text: "1"}) }, "one top-level"},
		{"path that climbs", func(es []zipEntry) []zipEntry { return append(es, zipEntry{name: "release-1/../../x", text: "1"}) }, ""},
		{"backslash", func(es []zipEntry) []zipEntry { return append(es, zipEntry{name: `release-1/data\x`, text: "1"}) }, ""},
		{"the same name twice", func(es []zipEntry) []zipEntry { return append(es, *find(es, ".csv")) }, "both"},
		{"symbolic link", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/data/link", text: "/etc/passwd", edit: func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }})
		}, "link"},
		{"device", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/data/dev", edit: func(h *zip.FileHeader) { h.SetMode(fs.ModeDevice | 0o600) }})
		}, "link or a special"},
		{"a bomb", func(es []zipEntry) []zipEntry {
			return append(es, zipEntry{name: "release-1/data/bomb", text: strings.Repeat("\x00", 8<<20)})
		}, "times its size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			es := c.edit(append([]zipEntry(nil), good...))
			_, err := verify(makeZip(t, es))
			kind := fault.KindOf(err)
			if err == nil || (kind != fault.Invalid && kind != fault.Exhausted) || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}

func TestVerifyComparesDocumentWithFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Facts)
		want string
	}{
		{"described file is absent", func(f *Facts) { f.Outputs[0].Path = "outputs/other.csv" }, "not in the package"},
		{"another hash", func(f *Facts) { f.Outputs[0].SHA256 = hash256("x") }, "another hash"},
		{"another size", func(f *Facts) { f.Outputs[0].Size = 1 }, "another hash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts := goodFacts()
			c.edit(&facts)
			doc, err := Describe(facts)
			if err != nil {
				t.Fatal(err)
			}
			b := goodBag(t)
			b.Files[1] = file(MetadataName, string(doc))
			if _, err := verify(write(t, b)); err == nil || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	b := write(t, goodBag(t))
	for _, c := range []struct {
		name string
		edit func(*Limits)
	}{
		{"too many files", func(l *Limits) { l.Files = 3 }},
		{"too many bytes", func(l *Limits) { l.Bytes = 100 }},
		{"too long a tag file", func(l *Limits) { l.Text = 10 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			lim := DefaultLimits
			c.edit(&lim)
			if _, err := VerifyWithin(bytes.NewReader(b), int64(len(b)), lim); fault.KindOf(err) != fault.Exhausted {
				t.Errorf("error %v, want Exhausted", err)
			}
		})
	}
}

// Whatever byte of the zip is changed, the bag is refused or still says exactly
// the same: only the zip's own bookkeeping (times, padding) is not hashed.
func TestEveryFlippedByteIsNoticedOrHarmless(t *testing.T) {
	good := write(t, goodBag(t))
	want, err := verify(good)
	if err != nil {
		t.Fatal(err)
	}
	step := 1
	if testing.Short() {
		step = 17
	}
	for i := 0; i < len(good); i += step {
		bad := bytes.Clone(good)
		bad[i] ^= 0x41
		got, err := verify(bad)
		if err == nil && !sameReport(got, want) {
			t.Fatalf("byte %d changed and another content passed", i)
		}
	}
}

func sameReport(a, b Report) bool {
	same := a.ExternalID == b.ExternalID && a.Bytes == b.Bytes && bytes.Equal(a.Metadata, b.Metadata) && len(a.Files) == len(b.Files)
	for p, s := range a.Files {
		same = same && b.Files[p] == s
	}
	return same
}

func TestEveryTruncationIsNoticed(t *testing.T) {
	good := write(t, goodBag(t))
	for n := 0; n < len(good); n += 13 {
		if _, err := verify(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes passed", n, len(good))
		}
	}
}

func FuzzVerify(f *testing.F) {
	good := write(f, goodBag(f))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := Limits{Files: 100, Bytes: 1 << 20, Text: 1 << 18, Ratio: 100}
		if _, err := VerifyWithin(bytes.NewReader(b), int64(len(b)), lim); err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.Exhausted {
				t.Fatalf("hostile input gave %v", err)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(strings.Repeat("0", 128) + "  data/a%0Ab\n")
	f.Add("Contact-Name: a\n b\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseManifest("m", text); err == nil {
			var s sums
			for p, h := range m {
				s = append(s, entry{p, h})
			}
			again, err := parseManifest("m", s.text())
			if err != nil || len(again) != len(m) {
				t.Fatalf("a manifest written anew reads differently: %v", err)
			}
		}
		_, _ = parseInfo(text)
	})
}

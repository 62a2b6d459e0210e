package hub

import (
	"archive/zip"
	"bytes"
	"io"
	"testing"
)

// TestEntryOf gives out released files only, by the names of the manifest.
func TestEntryOf(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"rel/data/outputs/work/out/x.csv", "rel/data/manifest.json", "rel/bagit.txt", "rel/data/outputs/../secret", "a/b/data/outputs/y.csv"} {
		f, err := w.Create(name)
		must(t, err)
		_, err = f.Write([]byte(name))
		must(t, err)
	}
	must(t, w.Close())
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	for name, want := range map[string]bool{"work/out/x.csv": true, "manifest.json": false, "bagit.txt": false, "y.csv": false, "x.csv": false, "": false, "/work/out/x.csv": false} {
		e := entryOf(z, name)
		if (e != nil) != want {
			t.Errorf("%q: %v", name, e)
		}
		if e == nil {
			continue
		}
		in, err := e.Open()
		must(t, err)
		if got, err := io.ReadAll(in); err != nil || string(got) != "rel/data/outputs/"+name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, c := range []struct {
		o    output
		want string
	}{
		{output{Path: "/work/out/x.csv", Size: 3}, "/work/out/x.csv"},
		{output{Path: "/work/out/x.csv", Size: 4}, ""},
		{output{Path: "/work/out/ä b?.csv", Size: 5}, "/%C3%A4%20b%3F.csv"},
	} {
		if got := fileIn(c.o, []File{{Path: "work/out/x.csv", Size: 3}, {Path: "ä b?.csv", Size: 5}}); got != c.want {
			t.Errorf("%+v: %q", c.o, got)
		}
	}
}

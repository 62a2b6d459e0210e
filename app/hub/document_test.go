package hub

import (
	"strings"
	"testing"

	"tresor/app/fault"
	"tresor/fed/fedtest"
)

const (
	sumOfBraces = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	noSum       = "0000000000000000000000000000000000000000000000000000000000000000"
)

// publishedHere is what a fakeNode lists: four good ones by their looks, and some
// that no hub takes.
const publishedHere = `[{"plugin":"tes","path":"a/index.json","type":"application/json","sha256":"` + sumOfBraces + `","size":2},
	{"plugin":"tes","path":"changed.txt","type":"text/plain","sha256":"` + noSum + `","size":2},
	{"plugin":"tes","path":"long.txt","type":"text/plain","sha256":"` + noSum + `","size":1},
	{"plugin":"tes","path":"gone.txt","type":"text/plain","sha256":"` + noSum + `","size":1},
	{"plugin":"tes","path":"../v1/tasks","type":"text/plain","sha256":"` + noSum + `","size":1},
	{"plugin":"../../catalogue","path":"x","type":"text/plain","sha256":"` + noSum + `","size":1},
	{"plugin":"tes","path":"page.html","type":"text/html","sha256":"` + noSum + `","size":1},
	{"plugin":"tes","path":"huge.txt","type":"text/plain","sha256":"` + noSum + `","size":1048577},
	{"plugin":"tes","path":"hash.txt","type":"text/plain","sha256":"<b>","size":1}]`

// TestDocumentsOfANode: what stands in the catalogue is read over the link and held
// against its hash; nothing else is asked for.
func TestDocumentsOfANode(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	fedtest.Until(t, "the catalogue is here", func() bool {
		all, err := r.s.Catalogue(t.Context(), r.rosa)
		return err == nil && len(all) == 1 && all[0].At != nil
	})
	all, err := r.s.Catalogue(t.Context(), r.rosa)
	if err != nil || len(all[0].Catalogue.Documents) != 4 {
		t.Errorf("%+v %v", all, err)
	}
	for _, c := range []struct {
		name, node, plugin, path string
		kind                     fault.Kind
		want                     string
	}{
		{"as listed, by name", "North", "tes", "a/index.json", fault.Internal, ""},
		{"as listed, by id", all[0].Node, "tes", "a/index.json", fault.Internal, ""},
		{"another than was listed", "north", "tes", "changed.txt", fault.Conflict, "another document"},
		{"longer than any may be", "north", "tes", "long.txt", fault.Unavailable, "longer than"},
		{"listed and not there", "north", "tes", "gone.txt", fault.Unavailable, "did not give"},
		{"not listed", "north", "tes", "x", fault.NotFound, "No such document"},
		{"a way around", "north", "tes", "../v1/tasks", fault.NotFound, "No such document"},
		{"another plugin", "north", "beacon", "a/index.json", fault.NotFound, "No such document"},
		{"another node", "south", "tes", "a/index.json", fault.NotFound, "No such document"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := r.s.Document(t.Context(), r.rosa, c.node, c.plugin, c.path)
			if c.want == "" {
				if err != nil || string(d.Body) != "{}" || d.Type != "application/json" {
					t.Errorf("%s %v", d.Body, err)
				}
				return
			}
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) || fault.Next(err) == "" || d.Body != nil {
				t.Errorf("%s %v (%v)", d.Body, err, fault.Next(err))
			}
		})
	}
}

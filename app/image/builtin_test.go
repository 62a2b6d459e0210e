package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/sandbox"
)

// program writes a file that stands for our own executable.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tresor-program")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBuiltinIsTheSameBytesEveryTime(t *testing.T) {
	var archives [2]bytes.Buffer
	for i := range archives {
		exe := program(t, "the same program")
		if err := os.Chtimes(exe, time.Now(), time.Unix(int64(i)*1000, 0)); err != nil {
			t.Fatal(err)
		}
		p, err := planBuiltin(exe, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.writeArchive(&archives[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
		t.Error("two archives of the same program differ")
	}
	other, err := planBuiltin(program(t, "another program"), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(archives[0].String(), other.layer) {
		t.Error("another program gives the same layer")
	}
}

func TestBuiltinLayer(t *testing.T) {
	p, err := planBuiltin(program(t, "program"), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.writeLayer(&b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != p.layerSize() {
		t.Errorf("the layer has %d bytes, %d were announced", b.Len(), p.layerSize())
	}
	found := map[string]*tar.Header{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h
		if !h.ModTime.Equal(epoch) || checkEntry(h) != nil {
			t.Errorf("%s: time %v, %v", h.Name, h.ModTime, checkEntry(h))
		}
	}
	if h := found["tresor"]; h == nil || h.Mode != 0o755 || h.Uid != 0 {
		t.Errorf("tresor: %+v", h)
	}
	if h := found["work/"]; h == nil || h.Uid != 1000 || h.Gid != 1000 {
		t.Errorf("work: %+v", h)
	}
	if h := found["./"]; h == nil || h.Mode != 0o755 {
		t.Errorf("root: %+v", h)
	}
}

func TestEnsureBuiltin(t *testing.T) {
	r := newRig(t)
	exe := program(t, "first program")
	one, err := r.EnsureBuiltin(t.Context(), exe, nil)
	if err != nil || one.State != Approved || one.Source != Builtin || one.ApprovedBy != access.System.Name {
		t.Fatalf("%+v, %v", one, err)
	}
	r.engine.Fail("Load", errors.New("loaded again"), false)
	again, err := r.EnsureBuiltin(t.Context(), exe, nil)
	if err != nil || again.Digest != one.Digest {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	r.engine.Fail("Load", nil, false) // takes the waiting fault's place in the queue
	if got := r.events(one.Digest); got != "image.imported image.approved" {
		t.Errorf("audit: %s", got)
	}
	if i, err := r.resolve(BuiltinRef); err != nil || i.Digest != one.Digest {
		t.Errorf("resolve: %+v, %v", i, err)
	}
}

func TestEnsureBuiltinOfANewProgram(t *testing.T) {
	r := newRig(t)
	one, err := r.EnsureBuiltin(t.Context(), program(t, "first program"), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.EnsureBuiltin(t.Context(), program(t, "second program"), nil)
	if err != nil || two.Digest == one.Digest {
		t.Fatalf("%+v, %v", two, err)
	}
	if i, err := r.resolve(BuiltinRef); err != nil || i.Digest != two.Digest {
		t.Errorf("the name: %+v, %v", i, err)
	}
	if _, err := r.resolve(one.Digest); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the old digest: %v", err)
	}
	if held, _ := r.engine.ListImages(t.Context()); len(held) != 1 {
		t.Errorf("the engine holds %d images", len(held))
	}
	if back, err := r.EnsureBuiltin(t.Context(), program(t, "first program"), nil); err != nil || back.State != Approved {
		t.Errorf("back to the first program: %+v, %v", back, err)
	}
}

func TestRevokedBuiltinStaysRevoked(t *testing.T) {
	r := newRig(t)
	exe := program(t, "program")
	i, err := r.EnsureBuiltin(t.Context(), exe, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revoke(t.Context(), operator, i.Digest, "A defect in SQL."); err != nil {
		t.Fatal(err)
	}
	if i, err = r.EnsureBuiltin(t.Context(), exe, nil); err != nil || i.State != Revoked {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := r.resolve(BuiltinRef); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "A defect in SQL") {
		t.Errorf("resolve: %v", err)
	}
}

// TestEnsureBuiltinAfterEveryFault: whatever breaks, the next start gets there.
func TestEnsureBuiltinAfterEveryFault(t *testing.T) {
	for _, method := range []string{"Inspect", "Load", "Warm"} {
		for _, after := range []bool{false, true} {
			if method == "Inspect" && after {
				continue // asking changes nothing, so there is no after
			}
			t.Run(fmt.Sprintf("%s, after=%v", method, after), func(t *testing.T) {
				r := newRig(t)
				exe := program(t, "program")
				r.engine.Fail(method, sandbox.Host("test", errors.New("broken")), after)
				i, err := r.EnsureBuiltin(t.Context(), exe, nil)
				if !after && fault.KindOf(err) != fault.Unavailable {
					t.Errorf("%+v, %v", i, err)
				}
				if _, err := r.resolve(BuiltinRef); err == nil {
					t.Error("an image that is not ready can be used")
				}
				if i, err := r.EnsureBuiltin(t.Context(), exe, nil); err != nil || i.State != Approved {
					t.Errorf("the second time: %+v, %v", i, err)
				}
			})
		}
	}
	r := newRig(t)
	if _, err := r.EnsureBuiltin(t.Context(), filepath.Join(t.TempDir(), "none"), nil); fault.KindOf(err) != fault.Internal {
		t.Errorf("no program: %v", err)
	}
}

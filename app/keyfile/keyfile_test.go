package keyfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tresor/app/fault"
)

func TestAKeyIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.key")
	var mu sync.Mutex
	got := map[string]bool{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			k, err := Random(path, 32)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			got[string(k)] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("twenty starts made %d keys", len(got))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), mode); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, mode)
		return path
	}
	good := file("good", 0o600, strings.Repeat("k", 32))
	link := filepath.Join(dir, "link")
	os.Symlink(good, link)
	for name, c := range map[string]struct {
		path string
		kind fault.Kind
	}{
		"readable by the group": {file("group", 0o640, strings.Repeat("k", 32)), fault.Conflict},
		"readable by all":       {file("all", 0o604, strings.Repeat("k", 32)), fault.Conflict},
		"too short":             {file("short", 0o600, "k"), fault.Conflict},
		"empty":                 {file("empty", 0o600, ""), fault.Conflict},
		"a link":                {link, fault.Conflict},
		"no folder":             {filepath.Join(dir, "none", "x"), fault.Unavailable},
	} {
		if _, err := Random(c.path, 32); fault.KindOf(err) != c.kind || fault.Next(err) == "" {
			t.Errorf("%s: %v (%v), want %v with a next step", name, err, fault.KindOf(err), c.kind)
		}
	}
	if err := Make(good, []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key was made over another: %v", err)
	}
	if err := Replace(good, []byte("other")); err != nil {
		t.Error(err)
	}
	if b, _ := Read(good); string(b) != "other" {
		t.Errorf("%q", b)
	}
}

func TestWhatIsSealedOpensForItsPurposeOnly(t *testing.T) {
	dir := t.TempDir()
	s, err := NewSealer(filepath.Join(dir, "a.key"))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := NewSealer(filepath.Join(dir, "a.key"))
	other, _ := NewSealer(filepath.Join(dir, "b.key"))
	secret := []byte("a secret of a plugin")
	sealed := s.Seal("plugin/tes/token", secret)
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, s.Seal("plugin/tes/token", secret)) {
		t.Error("the secret shows, or two seals are equal")
	}
	if got, err := again.Open("plugin/tes/token", sealed); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("after a restart: %q %v", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, f := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return s.Open("plugin/other/token", sealed) },
		"another key":     func() ([]byte, error) { return other.Open("plugin/tes/token", sealed) },
		"changed bytes":   func() ([]byte, error) { return s.Open("plugin/tes/token", changed) },
		"cut":             func() ([]byte, error) { return s.Open("plugin/tes/token", sealed[:5]) },
		"empty":           func() ([]byte, error) { return s.Open("plugin/tes/token", nil) },
	} {
		if _, err := f(); fault.KindOf(err) != fault.Internal || fault.Next(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package release_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/airlock/airlocktest"
	"tresor/app/release"
)

var ctx = context.Background()

type house struct {
	*airlocktest.House
	releases *release.Service
}

func newHouse(t testing.TB) *house {
	h := airlocktest.New(t)
	return &house{h, release.New(deps(h))}
}

func deps(h *airlocktest.House) release.Deps {
	return release.Deps{DB: h.DB, Log: h.Log, Live: h.Live, Vault: h.Vault, Projects: h.Projects, Requests: h.Airlock, Jobs: h.Jobs, IDs: h.ID,
		Institution: "University of Example", Software: "tresor 0.1"}
}

func (h *house) make(t testing.TB, files ...string) release.Release {
	t.Helper()
	r, err := h.releases.Make(ctx, h.People["rosa"], h.Approved(files...).ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *house) bytes(t testing.TB, id string) []byte {
	t.Helper()
	f, _, err := h.releases.Open(ctx, h.People["rosa"], id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verify(b []byte, key string) (release.Report, error) {
	return release.Verify(bytes.NewReader(b), int64(len(b)), key)
}

// overwrite changes kept bytes, as a broken disk or an intruder would.
func (h *house) overwrite(t *testing.T, sha256, content string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(h.VaultDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, sha256) {
			return err
		}
		n++
		if err := os.Chmod(p, 0o600); err != nil {
			return err
		}
		return os.WriteFile(p, []byte(content), 0o600)
	})
	if err != nil || n != 1 {
		t.Fatalf("%d files of %s (%v)", n, sha256, err)
	}
}

package store

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// freeze writes the database of the present schema as a release's data file:
//
//	go test ./app/store -run TestFreeze -freeze v1.0.0
//
// Do it once per release and never change the file again.
var freeze = flag.String("freeze", "", "write testdata/releases/NAME.db from the present schema")

const releases = "testdata/releases"

func TestFreeze(t *testing.T) {
	if *freeze == "" {
		t.Skip("only with -freeze NAME")
	}
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "t.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := os.MkdirAll(releases, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(context.Background(), filepath.Join(releases, *freeze+".db")); err != nil {
		t.Fatal(err)
	}
}

// Every release's data file opens, migrates and is sound with today's program.
func TestOpensDataOfEveryRelease(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(releases, "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(releases, "README.md")); err != nil {
		t.Fatalf("the folder of frozen data files is gone: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			frozen, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "t.db")
			if err := os.WriteFile(path, frozen, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(context.Background(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Check(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

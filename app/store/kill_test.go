package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// childFile tells the re-executed test binary to be the writer that gets killed.
const childFile = "TRESOR_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		writeUntilKilled(path)
	}
	os.Exit(m.Run())
}

// writeUntilKilled inserts from several goroutines and prints each id once its
// Update has returned nil.
func writeUntilKilled(path string) {
	db, err := Open(context.Background(), path, Options{Migrations: notes})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				text := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				err := db.Update(context.Background(), insert(text))
				out.Lock()
				fmt.Println(map[bool]string{true: "ok", false: "error"}[err == nil], text)
				out.Unlock()
			}
		}()
	}
	select {}
}

// After kill -9 at any moment no acknowledged row is missing.
func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	path := filepath.Join(t.TempDir(), "t.db")
	acknowledged := map[string]bool{}
	for range rounds {
		for _, text := range runAndKill(t, path) {
			acknowledged[text] = true
		}
		have := rowsOf(t, path)
		for text := range acknowledged {
			if !have[text] {
				t.Fatalf("row %s was acknowledged and is missing", text)
			}
		}
	}
	if len(acknowledged) < rounds {
		t.Fatalf("only %d rows in %d rounds: nothing was tested", len(acknowledged), rounds)
	}
}

func runAndKill(t *testing.T, path string) (acknowledged []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	kill := func() { _ = cmd.Process.Kill() }
	for sc.Scan() {
		text, ok := strings.CutPrefix(sc.Text(), "ok ")
		if !ok {
			t.Errorf("the writer says %q", sc.Text())
		}
		if acknowledged = append(acknowledged, text); len(acknowledged) == 1 {
			time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, kill)
		}
	}
	_ = cmd.Wait() // killed, as it should be
	return acknowledged
}

func rowsOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	db := openNotes(t, path)
	defer db.Close()
	have := map[string]bool{}
	err := db.View(context.Background(), func(tx *Tx) error {
		rows, err := tx.Query("SELECT text FROM note")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			have[s] = true
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return have
}

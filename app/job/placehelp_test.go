package job

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/sandbox/fake"
)

// put keeps a file in the tree of alpha.
func (h *house) put(path, content string) tree.File {
	h.t.Helper()
	b, err := h.vault.Put(context.Background(), strings.NewReader(content), 1<<20)
	if err != nil {
		h.t.Fatal(err)
	}
	f := tree.File{Path: path, SHA256: b.SHA256, Size: b.Size}
	err = h.db.Update(context.Background(), func(tx *store.Tx) error {
		return h.tree.Put(tx, access.System, h.alpha.ID, "", []tree.File{f})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

// found is what OutputsOf says, as text.
func (h *house) found(id string) string {
	h.t.Helper()
	var lines []string
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		list, err := h.job.OutputsOf(tx, id)
		for _, f := range list {
			where := string(f.State)
			if f.Tree {
				where = "tree"
			}
			lines = append(lines, fmt.Sprintf("%s->%s %d %s", f.Path, f.Target, f.Size, where))
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// inTree is what the tree of alpha holds, as text.
func (h *house) inTree() string {
	h.t.Helper()
	var lines []string
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		list, err := h.tree.List(tx, h.alpha.ID, "", "", 0)
		for _, f := range list {
			r, err := h.tree.Content(f)
			if err != nil {
				return err
			}
			b, err := io.ReadAll(r)
			r.Close()
			if err != nil {
				return err
			}
			lines = append(lines, f.Path+"="+strings.TrimSpace(string(b)))
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// script makes the fake run small programs: each argument is one step, "cat A B" copies A
// to B, "in B" copies standard input to B, "say T" and "err T" print, "exit N" ends.
func (h *house) script() {
	h.runner.Handle("do", func(_ context.Context, tk *fake.Task) int {
		for _, step := range tk.Argv[1:] {
			verb, rest, _ := strings.Cut(step, " ")
			a, b, _ := strings.Cut(rest, " ")
			switch verb {
			case "cat":
				content, err := os.ReadFile(tk.Path(a))
				if err != nil || tk.WriteFile(b, content) != nil {
					fmt.Fprintln(tk.Err, err)
					return 66
				}
			case "in":
				content, err := io.ReadAll(tk.In)
				if err != nil || tk.WriteFile(a, content) != nil {
					return 67
				}
			case "put":
				if tk.WriteFile(a, []byte(b)) != nil {
					return 68
				}
			case "big":
				if tk.WriteFile(a, make([]byte, 2<<20)) != nil {
					return 69
				}
			case "say":
				fmt.Fprintln(tk.Log, rest)
			case "err":
				fmt.Fprintln(tk.Err, rest)
			case "exit":
				code := 0
				fmt.Sscan(a, &code)
				return code
			}
		}
		return 0
	})
}

package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"tresor/app/fault"
	"tresor/app/store"
)

// exportHead is the first line of an exported log.
const exportHead = "tresor-audit-export/1"

// Export writes the log for verification elsewhere: a head line, one event a
// line as it was hashed, an empty line and the signed checkpoint of exactly
// these events.
func (l *Log) Export(ctx context.Context, w io.Writer) error {
	const op = "audit.Export"
	c, err := l.Checkpoint(ctx)
	if err != nil {
		return fault.Wrap(op, err)
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, exportHead)
	err = l.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT leaf FROM audit_leaf WHERE seq < ? ORDER BY seq`, c.Size)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var leaf string
			if err := rows.Scan(&leaf); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(out, leaf); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fault.Wrap(op, err)
	}
	fmt.Fprintf(out, "\n%s", c.Note)
	return fault.Wrap(op, out.Flush())
}

// VerifyExport verifies what Export wrote, without a database. key is as for
// VerifyDB. Memory does not grow with the log.
func VerifyExport(ctx context.Context, r io.Reader, key string) (Report, error) {
	in := bufio.NewReaderSize(r, maxLeaf+1)
	rep := Report{KeyPinned: key != ""}
	if head, err := line(in); err != nil || string(head) != exportHead {
		return rep, tampered("This is not an exported audit log: its first line is not %q.", exportHead)
	}
	var tree frontier
	for {
		if err := ctx.Err(); err != nil {
			return rep, fault.Wrap("audit.VerifyExport", err)
		}
		leaf, err := line(in)
		if err != nil {
			return rep, tampered("The exported log is cut off after event %d.", tree.n-1)
		}
		if len(leaf) == 0 {
			break
		}
		e, err := decode(leaf)
		if err != nil || e.Seq != tree.n {
			return rep, tampered("Event %d was changed, moved or removed.", tree.n)
		}
		if key == "" && e.Verb == opened {
			key = e.Detail["key"]
		}
		tree.add(leaf)
	}
	return sealed(in, &tree, key, rep)
}

// sealed compares the tree with the checkpoint at the end.
func sealed(in io.Reader, tree *frontier, key string, rep Report) (Report, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxLeaf))
	if err != nil {
		return rep, fault.Wrap("audit.VerifyExport", err)
	}
	c, err := parse(text, key)
	if err != nil {
		return rep, tampered("The checkpoint at the end does not verify: %v.", err)
	}
	root := tree.root()
	if c.Size != tree.n {
		return rep, tampered("Event %d is missing or was added: the export has %d events, and %d were signed.", min(c.Size, tree.n), tree.n, c.Size)
	}
	if c.Root != root {
		return rep, tampered("The first %d events are not the ones that were signed.", tree.n)
	}
	rep.Events, rep.Root, rep.Checkpoints, rep.Signed, rep.Key = tree.n, base64.StdEncoding.EncodeToString(root[:]), 1, c.Size, short(key)
	return rep, nil
}

// line returns the next line without its end; one that is too long is an error.
func line(in *bufio.Reader) ([]byte, error) {
	b, err := in.ReadSlice('\n')
	if err != nil {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return bytes.TrimSuffix(b, []byte("\n")), nil
}

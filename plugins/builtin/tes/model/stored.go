package model

import (
	"bytes"
	"encoding/json"
)

// AppendStored writes a task whose request is kept as AppendRequest wrote it: id,
// state, logs and creation time are t's, the rest is stored's. Where the view
// allows, the stored bytes are taken over as they are, which makes a list of
// hundreds cheap. What is no request of ours counts as absent; then t's own is written.
func AppendStored(dst []byte, stored []byte, t *Task, v View) []byte {
	if v == Minimal || !ours(stored) {
		return AppendTask(dst, t, v)
	}
	w := writer{b: dst}
	w.open('{')
	w.str("id", t.ID)
	w.str("state", string(t.State))
	w.comma()
	if v == Full {
		w.b = append(w.b, stored[1:len(stored)-1]...)
	} else {
		w.b = appendBare(w.b, stored)
	}
	w.logs(t.Logs, v == Full)
	w.str("creation_time", t.CreationTime)
	w.close('}')
	return w.b
}

// ours reports whether stored can be a request that AppendRequest wrote: those
// begin without a blank and are never empty, because executors are required.
func ours(stored []byte) bool {
	return len(stored) > 2 && stored[0] == '{' && stored[1] == '"' && stored[len(stored)-1] == '}' && json.Valid(stored)
}

var content = []byte(`,"content":"`)

// appendBare writes the members of a stored request without the contents of its
// inputs. Those are members of an object in a list in the request (so is no other
// member of that name), and stand behind the input's path and thus behind a comma.
func appendBare(dst, stored []byte) []byte {
	members := stored[:len(stored)-1]
	if !bytes.Contains(members, content) {
		return append(dst, members[1:]...)
	}
	var nest []byte
	from := 1
	for i := 0; i < len(members); i++ {
		switch c := members[i]; c {
		case '{', '[':
			nest = append(nest, c)
		case '}', ']':
			nest = nest[:len(nest)-1]
		case ',':
			if string(nest) == "{[{" && bytes.HasPrefix(members[i:], content) {
				dst = append(dst, members[from:i]...)
				i = textEnd(members, i+len(content)-1)
				from = i + 1
			}
		case '"':
			i = textEnd(members, i)
		}
	}
	return append(dst, members[from:]...)
}

// textEnd gives the position of the quote that ends the string that begins at i.
func textEnd(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

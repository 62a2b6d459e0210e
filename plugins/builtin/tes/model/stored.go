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
	if v == Basic && bytes.Contains(stored, []byte(`"content":`)) {
		var req Task
		if json.Unmarshal(stored, &req) != nil {
			return AppendTask(dst, t, v)
		}
		req.ID, req.State, req.Logs, req.CreationTime = t.ID, t.State, t.Logs, t.CreationTime
		return AppendTask(dst, &req, v)
	}
	w := writer{b: dst}
	w.open('{')
	w.str("id", t.ID)
	w.str("state", string(t.State))
	w.comma()
	w.b = append(w.b, stored[1:len(stored)-1]...)
	w.logs(t.Logs, v == Full)
	w.str("creation_time", t.CreationTime)
	w.close('}')
	return w.b
}

// ours reports whether stored can be a request that AppendRequest wrote: those
// begin without a blank and are never empty, because executors are required.
func ours(stored []byte) bool {
	return len(stored) > 2 && stored[0] == '{' && stored[1] == '"' && json.Valid(stored)
}

package model

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// AppendTask writes t as JSON in view v behind dst. The keys are exactly those of
// the view; what is empty and not required has no key.
func AppendTask(dst []byte, t *Task, v View) []byte {
	w := writer{b: dst}
	w.open('{')
	w.str("id", t.ID)
	w.str("state", string(t.State))
	if v == Minimal {
		w.close('}')
		return w.b
	}
	w.request(t, v == Full)
	w.logs(t.Logs, v == Full)
	w.str("creation_time", t.CreationTime)
	w.close('}')
	return w.b
}

// AppendRequest writes the part of t that its sender owns: no id, no state, no logs.
func AppendRequest(dst []byte, t *Task) []byte {
	w := writer{b: dst}
	w.open('{')
	w.request(t, true)
	w.close('}')
	return w.b
}

// AppendList writes a ListTasksResponse behind dst.
func AppendList(dst []byte, tasks []Task, next string, v View) []byte {
	dst = append(dst, `{"tasks":[`...)
	for i := range tasks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendTask(dst, &tasks[i], v)
	}
	return AppendListEnd(dst, next)
}

// AppendListEnd closes a list that began with {"tasks":[.
func AppendListEnd(dst []byte, next string) []byte {
	dst = append(dst, ']')
	if next != "" {
		dst = append(dst, `,"next_page_token":`...)
		dst = appendString(dst, next)
	}
	return append(dst, '}')
}

// writer appends JSON and knows whether a comma is due.
type writer struct {
	b    []byte
	more bool // something stands before in the same object or list
}

func (w *writer) comma() {
	if w.more {
		w.b = append(w.b, ',')
	}
	w.more = true
}

func (w *writer) open(c byte)  { w.b, w.more = append(w.b, c), false }
func (w *writer) close(c byte) { w.b, w.more = append(w.b, c), true }

func (w *writer) key(k string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), k...), '"', ':')
}

func (w *writer) must(k, s string) {
	w.key(k)
	w.b = appendString(w.b, s)
}

func (w *writer) str(k, s string) {
	if s != "" {
		w.must(k, s)
	}
}

func (w *writer) flag(k string, on bool) {
	if on {
		w.key(k)
		w.b = append(w.b, "true"...)
	}
}

func (w *writer) num(k string, f float64) {
	if f != 0 && !math.IsInf(f, 0) && !math.IsNaN(f) {
		w.key(k)
		w.b = appendFloat(w.b, f)
	}
}

func (w *writer) list(k string, items []string) {
	w.key(k)
	w.open('[')
	for _, s := range items {
		w.comma()
		w.b = appendString(w.b, s)
	}
	w.close(']')
}

func (w *writer) object(k string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.key(k)
	w.open('{')
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		w.comma()
		w.b = append(appendString(w.b, key), ':')
		w.b = appendString(w.b, m[key])
	}
	w.close('}')
}

// each writes a list of objects.
func each[T any](w *writer, k string, items []T, one func(*T)) {
	w.key(k)
	w.open('[')
	for i := range items {
		w.comma()
		w.open('{')
		one(&items[i])
		w.close('}')
	}
	w.close(']')
}

func (w *writer) request(t *Task, full bool) {
	w.str("name", t.Name)
	w.str("description", t.Description)
	if len(t.Inputs) > 0 {
		each(w, "inputs", t.Inputs, func(in *Input) { w.input(in, full) })
	}
	if len(t.Outputs) > 0 {
		each(w, "outputs", t.Outputs, w.output)
	}
	if t.Resources != nil {
		w.resources(t.Resources)
	}
	each(w, "executors", t.Executors, w.executor)
	if len(t.Volumes) > 0 {
		w.list("volumes", t.Volumes)
	}
	w.object("tags", t.Tags)
}

func (w *writer) input(in *Input, full bool) {
	w.str("name", in.Name)
	w.str("description", in.Description)
	w.str("url", in.URL)
	w.must("path", in.Path)
	w.str("type", string(in.Type))
	if full && in.Content != nil {
		w.must("content", *in.Content)
	}
	w.flag("streamable", in.Streamable)
}

func (w *writer) output(o *Output) {
	w.str("name", o.Name)
	w.str("description", o.Description)
	w.must("url", o.URL)
	w.must("path", o.Path)
	w.str("path_prefix", o.PathPrefix)
	w.str("type", string(o.Type))
}

func (w *writer) executor(e *Executor) {
	w.must("image", e.Image)
	w.list("command", e.Command)
	w.str("workdir", e.Workdir)
	w.str("stdin", e.Stdin)
	w.str("stdout", e.Stdout)
	w.str("stderr", e.Stderr)
	w.object("env", e.Env)
	w.flag("ignore_error", e.IgnoreError)
}

func (w *writer) resources(r *Resources) {
	w.key("resources")
	w.open('{')
	if r.CPUCores != 0 {
		w.key("cpu_cores")
		w.b = strconv.AppendInt(w.b, int64(r.CPUCores), 10)
	}
	w.flag("preemptible", r.Preemptible)
	w.num("ram_gb", r.RAMGB)
	w.num("disk_gb", r.DiskGB)
	if len(r.Zones) > 0 {
		w.list("zones", r.Zones)
	}
	w.object("backend_parameters", r.BackendParameters)
	w.flag("backend_parameters_strict", r.BackendParametersStrict)
	w.close('}')
}

func (w *writer) logs(logs []TaskLog, full bool) {
	if len(logs) == 0 {
		return
	}
	each(w, "logs", logs, func(l *TaskLog) {
		each(w, "logs", l.Logs, func(e *ExecutorLog) { w.executorLog(e, full) })
		w.object("metadata", l.Metadata)
		w.str("start_time", l.StartTime)
		w.str("end_time", l.EndTime)
		each(w, "outputs", l.Outputs, w.outputLog)
		if full && len(l.SystemLogs) > 0 {
			w.list("system_logs", l.SystemLogs)
		}
	})
}

func (w *writer) executorLog(e *ExecutorLog, full bool) {
	w.str("start_time", e.StartTime)
	w.str("end_time", e.EndTime)
	if full {
		w.str("stdout", e.Stdout)
		w.str("stderr", e.Stderr)
	}
	w.key("exit_code")
	w.b = strconv.AppendInt(w.b, int64(e.ExitCode), 10)
}

func (w *writer) outputLog(o *OutputFileLog) {
	w.must("url", o.URL)
	w.must("path", o.Path)
	w.key("size_bytes")
	w.b = strconv.AppendInt(append(w.b, '"'), o.SizeBytes, 10)
	w.b = append(w.b, '"')
}

const hex = "0123456789abcdef"

// appendString writes s as the library's encoder does without HTML escapes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscape(dst, r)
		i += size
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// appendFloat writes f as short as it reads back, never with a needless exponent.
func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); n-from >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst = append(dst[:n-2], dst[n-1]) // e-09 is e-9
	}
	return dst
}

// AppendCreated writes a CreateTaskResponse behind dst.
func AppendCreated(dst []byte, id string) []byte {
	return append(appendString(append(dst, `{"id":`...), id), '}')
}

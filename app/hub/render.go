package hub

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

// taskRow is what a list reads of a task.
type taskRow struct {
	id       string
	state    model.State
	document string // empty in the view MINIMAL
	created  int64
}

// rows reads one row more than the page has, to know whether there is another.
func (q query) rows(tx *store.Tx, project string) ([]taskRow, error) {
	document := "t.document"
	if q.view == model.Minimal {
		document = "''"
	}
	where, args := q.where(project)
	rows, err := tx.Query(`SELECT t.id, t.state, `+document+`, t.created_at FROM hub_task t WHERE `+where+` ORDER BY t.id DESC LIMIT ?`, append(args, q.size+1)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []taskRow
	for rows.Next() {
		var t taskRow
		if err := rows.Scan(&t.id, &t.state, &t.document, &t.created); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// appendTask writes a task with one log per node.
func (s *Service) appendTask(tx *store.Tx, dst []byte, r *taskRow, v model.View) ([]byte, error) {
	t := model.Task{ID: r.id, State: r.state}
	if v == model.Minimal {
		return model.AppendTask(dst, &t, v), nil
	}
	t.CreationTime = store.Time(r.created).Format(time.RFC3339Nano)
	views, err := s.logsOf(tx, r.id, r.state)
	if err != nil {
		return dst, err
	}
	t.Logs = views
	return model.AppendStored(dst, []byte(r.document), &t, v), nil
}

// logsOf gives the parts by the names of their nodes. Of a task that failed in an
// executor those that did come first: clients read the exit code of the first log.
func (s *Service) logsOf(tx *store.Tx, id string, state model.State) ([]model.TaskLog, error) {
	all, err := parts(tx, `JOIN hub_node n ON n.id = p.node WHERE p.task = ? ORDER BY n.name, n.id`, id)
	if err != nil {
		return nil, err
	}
	names, _, err := nodeNames(tx, id)
	if err != nil {
		return nil, err
	}
	results, err := s.resultViews(tx, id)
	if err != nil {
		return nil, err
	}
	if state == model.ExecutorError {
		slices.SortStableFunc(all, func(a, b part) int {
			return cmp.Compare(failedFirst(a), failedFirst(b))
		})
	}
	online := s.online()
	logs := make([]model.TaskLog, len(all))
	for i, p := range all {
		logs[i] = s.logOf(p, names[p.node], results[p.node], online[p.node])
	}
	return logs, nil
}

func failedFirst(p part) int {
	if p.tes == model.ExecutorError {
		return 0
	}
	return 1
}

// logOf is one node's part as the log of one attempt. The metadata say which node
// it is and how it stands there.
func (s *Service) logOf(p part, name string, res *Result, online bool) model.TaskLog {
	l := model.TaskLog{StartTime: p.log.Start, EndTime: p.log.End, Logs: []model.ExecutorLog{}, Outputs: []model.OutputFileLog{},
		Metadata: map[string]string{"node": name, "state": string(p.tes), "delivery": p.state}}
	if p.remote != "" {
		l.Metadata["task"] = p.remote
	}
	if p.code != "" {
		l.Metadata["code"] = p.code
	}
	if p.correlation != "" {
		l.Metadata["reference"] = p.correlation
	}
	for _, c := range p.log.Commands {
		l.Logs = append(l.Logs, model.ExecutorLog{StartTime: c.Start, EndTime: c.End, ExitCode: c.Exit})
	}
	if p.tes == model.ExecutorError && len(l.Logs) == 0 { // clients rely on one
		l.Logs = append(l.Logs, model.ExecutorLog{ExitCode: 1})
	}
	if res != nil && res.State == "stored" {
		base := s.URL() + "/ga4gh/tes/results/" + url.PathEscape(p.task) + "/" + url.PathEscape(name)
		l.Metadata["results"], l.Metadata["sha256"] = base, res.SHA256
		for _, o := range p.log.Outputs {
			l.Outputs = append(l.Outputs, model.OutputFileLog{URL: base + fileIn(o, res.Files), Path: o.Path, SizeBytes: o.Size})
		}
	}
	if res != nil && res.KeepUntil != nil {
		l.Metadata["keep_until"] = res.KeepUntil.UTC().Format(time.RFC3339)
	}
	l.SystemLogs = linesOf(p, name, online)
	if res != nil && res.DeletedAt != nil {
		l.Metadata["sha256"] = res.SHA256
		l.SystemLogs = append(l.SystemLogs, goneText(name, res))
	}
	return l
}

// fileIn gives the rest of the address of an output in its zip; empty: the zip
// has no file that it can be told to be.
func fileIn(o output, files []File) string {
	for _, f := range files {
		if f.Size == o.Size && (strings.HasSuffix(o.Path, "/"+f.Path) || path.Base(o.Path) == path.Base(f.Path)) {
			return "/" + (&url.URL{Path: f.Path}).EscapedPath()
		}
	}
	return ""
}

// linesOf says in words how a part stands.
func linesOf(p part, name string, online bool) []string {
	var lines []string
	add := func(s string) { lines = append(lines, name+": "+s) }
	switch {
	case p.left && !p.over():
		add("Nobody waits for this node any more. It is told that the task is cancelled when it is back.")
	case p.state == waiting && !online:
		add("The node is not connected. The task is sent when it is back.")
	case p.state == waiting:
		add("The task waits to be sent.")
	case p.state == offered:
		add("The task was sent; the node has not answered yet.")
	case p.state == cancelled:
		add("The task was cancelled before it was sent to this node, and never will be.")
	case p.state == accepted && p.wanted && !p.cancelled:
		add("The node has not been told yet that the task is cancelled.")
	case p.state == accepted && !online:
		add("The node is not connected. What is shown is its last word.")
	}
	if p.text != "" {
		text := p.text
		if p.code != "" {
			text += " " + note(p.code, p.correlation)
		}
		add(text)
	}
	if p.trouble != "" {
		add(p.trouble)
	}
	for _, m := range p.log.Messages {
		add(m)
	}
	return lines
}

// note is how a text ends that names the code of a refusal, and by what it is found.
func note(code, reference string) string {
	if reference != "" {
		code += "; reference " + reference
	}
	return "(" + code + ")"
}

// inProject hides tasks of other projects, also from those who are members there:
// a token is for one project.
func (s *Service) inProject(ctx context.Context, c caller, id string) error {
	return s.DB.View(ctx, func(tx *store.Tx) error {
		_, err := s.row(tx, c, id)
		return err
	})
}

func (s *Service) row(tx *store.Tx, c caller, id string) (taskRow, error) {
	r := taskRow{id: id}
	err := tx.QueryRow(`SELECT state, document, created_at FROM hub_task WHERE id = ? AND project = ?`, id, c.project).Scan(&r.state, &r.document, &r.created)
	if store.NotFound(err) {
		return r, s.noTask("hub.row", "There is no such task in the project "+c.projectSlug+".")
	}
	return r, err
}

func (s *Service) show(w http.ResponseWriter, r *http.Request, c caller, id string) error {
	q, err := readQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	var body []byte
	err = s.DB.View(r.Context(), func(tx *store.Tx) error {
		row, err := s.row(tx, c, id)
		if err != nil {
			return err
		}
		body, err = s.appendTask(tx, nil, &row, q.view)
		return err
	})
	if err != nil {
		return err
	}
	return writeBody(w, body)
}

package job

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

const jobColumns = `id, project, name, purpose, state, reason, next, submitter, submitter_handle, submitter_name, request_hash,
	queries, datasets, outputs, limits, refusals, task, host_faults, unlimited, cancel_actor, cancel_reason, request,
	created_at, queued_at, started_at, finished_at, held_at, via, on_behalf, places, wants, volumes, waits_image, inside, every_job`

// summaryColumns leave out the places: one job may name 20,000 files in them.
var summaryColumns = strings.Replace(jobColumns, "places,", "'[]',", 1)

type scanner interface{ Scan(...any) error }

func scanJob(row scanner) (Job, error) {
	var j Job
	var queries, data, outputs, limits, refusals, canceller, places, wants, volumes string
	var created int64
	var queued, started, finished, held sql.NullInt64
	err := row.Scan(&j.ID, &j.Project, &j.Name, &j.Purpose, &j.State, &j.Reason, &j.storedNext, &j.Submitter.ID, &j.Submitter.Handle, &j.Submitter.Name,
		&j.requestHash, &queries, &data, &outputs, &limits, &refusals, &j.task, &j.hostFaults, &j.Unlimited, &canceller, &j.cancelReason,
		&j.AirlockRequest, &created, &queued, &started, &finished, &held,
		&j.Via, &j.OnBehalf, &places, &wants, &volumes, &j.WaitingImage, &j.Inside, &j.EveryJob)
	if err != nil {
		return j, err
	}
	j.CreatedAt = store.Time(created)
	j.QueuedAt, j.StartedAt, j.FinishedAt, j.HeldAt = moment(queued), moment(started), moment(finished), moment(held)
	err = errors.Join(decode(queries, &j.Queries), decode(data, &j.Datasets), decode(outputs, &j.Declared), decode(limits, &j.Limits),
		decode(refusals, &j.Refused), decode(places, &j.Places), decode(wants, &j.Wants), decode(volumes, &j.Volumes))
	if err != nil {
		return j, fmt.Errorf("job %s: stored record: %w", j.ID, err)
	}
	return j, j.setCanceller(canceller)
}

// decode reads stored JSON; the empty list, which most are, without a decoder.
func decode[T any](text string, into *T) error {
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

func (j *Job) setCanceller(canceller string) error {
	if canceller == "" {
		return nil
	}
	j.Cancelling = j.State.Active()
	var by canceled
	if err := json.Unmarshal([]byte(canceller), &by); err != nil {
		return err
	}
	j.cancelBy = access.Actor{ID: by.ID, Handle: by.Handle, Name: by.Name, Via: by.Via, Session: by.Session}
	return nil
}

// canceled is who asked for a stop, kept until the stop has happened and can be recorded in their name.
type canceled struct{ ID, Handle, Name, Via, Session string }

func moment(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := store.Time(n.Int64)
	return &t
}

// find loads a job's row without its tasks; fault.NotFound when there is none.
func find(tx *store.Tx, id string) (Job, error) {
	j, err := scanJob(tx.QueryRow(`SELECT `+jobColumns+` FROM job WHERE id = ?`, id))
	if store.NotFound(err) {
		return j, fault.New("job.Get", fault.NotFound, access.NotSeen)
	}
	return j, fault.Wrap("job.Get", err)
}

// load is find with tasks and the description of inputs.
func load(tx *store.Tx, id string) (Job, error) {
	j, err := find(tx, id)
	if err != nil {
		return j, err
	}
	if j.Tasks, err = loadTasks(tx, id); err != nil {
		return j, fault.Wrap("job.Get", err)
	}
	j.Inputs, err = loadInputs(tx, id)
	return j, fault.Wrap("job.Get", err)
}

func loadTasks(tx *store.Tx, id string) ([]TaskRun, error) {
	rows, err := tx.Query(`SELECT n, image, image_id, image_ref, argv, env, workdir, state, exit_code, attempt, started_at, finished_at,
		stdin, stdout, stderr, ignore_error FROM job_task WHERE job = ? ORDER BY n`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []TaskRun
	for rows.Next() {
		t, err := scanTask(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

func scanTask(row scanner) (TaskRun, error) {
	var t TaskRun
	var argv, env string
	var code, started, finished sql.NullInt64
	err := row.Scan(&t.N, &t.Image, &t.imageID, &t.ImageRef, &argv, &env, &t.Workdir, &t.State, &code, &t.Attempt, &started, &finished,
		&t.Stdin, &t.Stdout, &t.Stderr, &t.IgnoreError)
	if err != nil {
		return t, err
	}
	if code.Valid {
		n := int(code.Int64)
		t.ExitCode = &n
	}
	t.StartedAt, t.FinishedAt = moment(started), moment(finished)
	if err := json.Unmarshal([]byte(argv), &t.Argv); err != nil {
		return t, err
	}
	return t, json.Unmarshal([]byte(env), &t.Env)
}

func loadInputs(tx *store.Tx, id string) ([]InputInfo, error) {
	rows, err := tx.Query(`SELECT name, sha256, size FROM job_input WHERE job = ? AND substr(name, 1, 1) <> '/' ORDER BY name`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []InputInfo{}
	for rows.Next() {
		var in InputInfo
		if err := rows.Scan(&in.Name, &in.SHA256, &in.Size); err != nil {
			return nil, err
		}
		list = append(list, in)
	}
	return list, rows.Err()
}

func loadContent(tx *store.Tx, id string) (map[string][]byte, error) {
	rows, err := tx.Query(`SELECT name, content FROM job_input WHERE job = ?`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]byte{}
	for rows.Next() {
		var name string
		var content []byte
		if err := rows.Scan(&name, &content); err != nil {
			return nil, err
		}
		all[name] = content
	}
	return all, rows.Err()
}

// loadWaiting returns what waits, in the order it came.
func loadWaiting(tx *store.Tx) ([]entry, error) {
	rows, err := tx.Query(`SELECT id, project, via, limits, queued_at FROM job WHERE state = 'queued' ORDER BY queued_at, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []entry
	for rows.Next() {
		var e entry
		var via, text string
		var queued int64
		if err := rows.Scan(&e.id, &e.project, &via, &text, &queued); err != nil {
			return nil, err
		}
		e.parent, e.since = parentOf(via), store.Time(queued)
		var l Limits
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return nil, fmt.Errorf("job %s: stored limits: %w", e.id, err)
		}
		e.cores, e.memory = l.Cores, l.Memory
		list = append(list, e)
	}
	return list, rows.Err()
}

// insert writes a new job in state submitted.
func insert(tx *store.Tx, j *Job, key string) error {
	var requestKey any
	if key != "" {
		requestKey = key
	}
	_, err := tx.Exec(`INSERT INTO job (id, project, name, purpose, state, reason, next, submitter, submitter_handle, submitter_name, request_key, request_hash,
		queries, datasets, outputs, limits, created_at, via, on_behalf, places, wants, volumes, waits_image, inside, every_job)
		VALUES (?, ?, ?, ?, 'submitted', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		j.ID, j.Project, j.Name, j.Purpose, j.Reason, j.storedNext, j.Submitter.ID, j.Submitter.Handle, j.Submitter.Name, requestKey, j.requestHash,
		mustJSON(j.Queries), mustJSON(j.Datasets), mustJSON(j.Declared), mustJSON(j.Limits), store.Millis(j.CreatedAt),
		j.Via, j.OnBehalf, listJSON(j.Places), listJSON(j.Wants), listJSON(j.Volumes), j.WaitingImage, j.Inside, j.EveryJob)
	if err != nil {
		return fault.Wrap("job.Submit", err)
	}
	for _, t := range j.Tasks {
		_, err := tx.Exec(`INSERT INTO job_task (job, n, image, image_id, image_ref, argv, env, workdir, state, stdin, stdout, stderr, ignore_error)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?, ?)`,
			j.ID, t.N, t.Image, t.imageID, t.ImageRef, mustJSON(t.Argv), mustJSON(t.Env), t.Workdir, t.Stdin, t.Stdout, t.Stderr, t.IgnoreError)
		if err != nil {
			return fault.Wrap("job.Submit", err)
		}
	}
	return insertInputs(tx, j)
}

func insertInputs(tx *store.Tx, j *Job) error {
	for i, in := range j.Inputs {
		content := j.content[in.Name]
		sum := sha256.Sum256(content)
		j.Inputs[i].SHA256 = hex.EncodeToString(sum[:])
		_, err := tx.Exec(`INSERT INTO job_input (job, name, sha256, size, content) VALUES (?, ?, ?, ?, ?)`,
			j.ID, in.Name, j.Inputs[i].SHA256, in.Size, content)
		if err != nil {
			return fault.Wrap("job.Submit", err)
		}
	}
	return insertContents(tx, j)
}

// insertContents keeps the contents of places beside the plain inputs.
func insertContents(tx *store.Tx, j *Job) error {
	for i, p := range j.Places {
		if p.From != FromContent {
			continue
		}
		content := j.content[placeName(i)]
		if content == nil {
			content = []byte{}
		}
		_, err := tx.Exec(`INSERT INTO job_input (job, name, sha256, size, content) VALUES (?, ?, ?, ?, ?)`, j.ID, placeName(i), p.SHA256, p.Size, content)
		if err != nil {
			return fault.Wrap("job.Submit", err)
		}
	}
	return nil
}

// listJSON is a list as it is stored: an absent one is empty.
func listJSON[T any](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	return mustJSON(list)
}

func saveTask(tx *store.Tx, id string, t TaskRun) error {
	var code any
	if t.ExitCode != nil {
		code = *t.ExitCode
	}
	_, err := tx.Exec(`UPDATE job_task SET state = ?, exit_code = ?, attempt = ?, started_at = ?, finished_at = ? WHERE job = ? AND n = ?`,
		t.State, code, t.Attempt, millis(t.StartedAt), millis(t.FinishedAt), id, t.N)
	return fault.Wrap("job.task", err)
}

func millis(t *time.Time) any {
	if t == nil {
		return nil
	}
	return store.Millis(*t)
}

func saveRefusals(tx *store.Tx, id string, list []sandbox.Refusal) error {
	if len(list) == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE job SET refusals = ? WHERE id = ?`, mustJSON(list), id)
	return fault.Wrap("job.refusals", err)
}

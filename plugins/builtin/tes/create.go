package tes

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// create makes a job of a task. The answer has the task's id and status 200.
func create(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	task, err := model.ReadTask(r.Body)
	if err != nil {
		return protocol.Response{}, err
	}
	job, err := jobOf(&task)
	if err != nil {
		return protocol.Response{}, err
	}
	if job.Project == "" {
		job.Project = r.Caller.Project
	}
	if job.RemoteID, err = remoteID(r); err != nil {
		return protocol.Response{}, err
	}
	state, err := h.Submit(ctx, job)
	if err != nil {
		return protocol.Response{}, err
	}
	return answer(model.AppendCreated(nil, state.ID), nil)
}

// projectTag is the tag that names the project, by id or slug.
const projectTag = "project"

// jobOf translates a task. What cannot be had and may be left out is taken from
// the task and noted, so that the task is kept as it was accepted.
func jobOf(t *model.Task) (protocol.JobRequest, error) {
	job := protocol.JobRequest{Name: t.Name, Description: t.Description, Project: t.Tags[projectTag], Tags: t.Tags}
	var err error
	if job.Resources, job.Notes, err = resources(t.Resources); err != nil {
		return job, err
	}
	for i := range t.Executors {
		job.Tasks = append(job.Tasks, taskOf(&t.Executors[i]))
	}
	if job.Inputs, err = inputs(t.Inputs); err != nil {
		return job, err
	}
	if job.Outputs, err = outputs(t.Outputs); err != nil {
		return job, err
	}
	for _, v := range t.Volumes {
		job.Volumes = append(job.Volumes, folder(v))
	}
	if job.Document = model.AppendRequest(nil, t); len(job.Document) > protocol.MaxDocument {
		return job, &model.Problem{Large: true, Text: "The task is larger than 1 MiB. Put its files in a dataset or in the project's own files and name them as inputs by url."}
	}
	return job, nil
}

func taskOf(e *model.Executor) protocol.Task {
	t := protocol.Task{Image: e.Image, Argv: e.Command, Workdir: folder(e.Workdir), Stdin: e.Stdin, Stdout: e.Stdout, Stderr: e.Stderr, IgnoreError: e.IgnoreError}
	for k, v := range e.Env {
		t.Env = append(t.Env, k+"="+v)
	}
	slices.Sort(t.Env)
	return t
}

// folder takes the slash from the end of a folder's path.
func folder(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}

func place(path string, t model.FileType) string {
	if t == model.Directory {
		return folder(path)
	}
	return path
}

// keyHeader lets a client send the same task again without getting a second one
// (draft-ietf-httpapi-idempotency-key-header). Two things differ from the draft: the
// key is taken as it stands, quoted or not, because clients do both; and another task
// under the same key is 409, the status that TES clients already take for final.
const keyHeader = "Idempotency-Key"

// remoteID is the caller's own id for the request: of its signed order, or its header.
func remoteID(r protocol.Request) (string, error) {
	if r.RemoteID != "" {
		return r.RemoteID, nil
	}
	var values []string
	for k, v := range r.Header {
		if http.CanonicalHeaderKey(k) == keyHeader {
			values = append(values, v...)
		}
	}
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > 200 || strings.IndexFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
		return "", invalid("", "The header "+keyHeader+" is one line of 1 to 200 printable ASCII characters, given once. A random UUID is a good one.")
	}
	return key, nil
}

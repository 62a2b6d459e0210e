package tes

import (
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// Bounds of what programs wrote, in bytes: of one stream, and of a whole task.
const (
	maxStream  = 64 << 10
	maxStreams = 1 << 20
)

// appendJob writes a job as a task. The view comes from the request alone: with
// MINIMAL nothing else of the job is looked at.
func appendJob(dst []byte, job *protocol.JobState, v model.View, r protocol.Request) []byte {
	t := model.Task{ID: job.ID, State: model.OfJob(job.State)}
	if v == model.Minimal {
		return model.AppendTask(dst, &t, v)
	}
	t.Name, t.Tags, t.CreationTime = job.Name, job.Tags, stamp(job.CreatedAt)
	t.Logs = logs(job, t.State, v, r)
	return model.AppendStored(dst, job.Document, &t, v)
}

// stamp writes a time, or "" for none: an empty time has no key.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
}

// logs gives the one log of a task that has begun, or of one that has something
// to say before it begins.
func logs(job *protocol.JobState, s model.State, v model.View, r protocol.Request) []model.TaskLog {
	begun := !job.StartedAt.IsZero() || len(job.Tasks) > 0 || len(job.Outputs) > 0 || s == model.ExecutorError
	if !begun && (v != model.Full || len(job.Messages) == 0) {
		return nil
	}
	l := model.TaskLog{Metadata: map[string]string{}, StartTime: stamp(job.StartedAt), SystemLogs: job.Messages,
		Logs: executorLogs(job, s, r.Caller.Kind == protocol.CallerInside)}
	if s.Over() {
		l.EndTime = stamp(job.FinishedAt)
	}
	if job.Project != "" {
		l.Metadata["project"] = job.Project
	}
	if job.Release != "" {
		l.Metadata["release"] = releaseURL(r, job.Release, "")
	}
	for _, o := range job.Outputs {
		l.Outputs = append(l.Outputs, outputLog(o, r))
	}
	return []model.TaskLog{l}
}

// executorLogs gives one log for each executor that ended, and never none for a
// task that an executor's failure ended: Nextflow reads the first one's exit code.
// What programs wrote is shown to callers inside only, whatever the host sent.
func executorLogs(job *protocol.JobState, s model.State, inside bool) []model.ExecutorLog {
	if s == model.ExecutorError && len(job.Tasks) == 0 {
		return []model.ExecutorLog{{ExitCode: -1}} // it was killed before it had a code
	}
	left := maxStreams
	out := make([]model.ExecutorLog, 0, len(job.Tasks))
	for i := range job.Tasks {
		t := &job.Tasks[i]
		e := model.ExecutorLog{StartTime: stamp(t.StartedAt), EndTime: stamp(t.FinishedAt), ExitCode: int32(t.ExitCode)}
		if inside {
			e.Stdout, e.Stderr = tail(t.Stdout, &left), tail(t.Stderr, &left)
		}
		out = append(out, e)
	}
	return out
}

// tail keeps the end of what a program wrote.
func tail(s string, left *int) string {
	most := min(maxStream, *left)
	if len(s) > most {
		s = s[len(s)-most:]
		for len(s) > 0 && !utf8.RuneStart(s[0]) {
			s = s[1:]
		}
	}
	*left -= len(s)
	return s
}

// outputLog says where a file is: inside where it was asked for, or released,
// where this service gives it out.
func outputLog(o protocol.OutputFile, r protocol.Request) model.OutputFileLog {
	l := model.OutputFileLog{URL: o.Target, Path: o.Path, SizeBytes: o.Size}
	if o.Release != "" {
		l.URL = releaseURL(r, o.Release, o.Path)
	}
	return l
}

func releaseURL(r protocol.Request, id, path string) string {
	u := base(r) + "/releases/" + url.PathEscape(id)
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path != "" {
			u += "/" + url.PathEscape(part)
		}
	}
	return u
}

func base(r protocol.Request) string {
	if r.Base == "" {
		return "/ga4gh/tes"
	}
	return r.Base
}

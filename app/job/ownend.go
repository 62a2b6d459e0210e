package job

import (
	"fmt"
	"strconv"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/sandbox"
)

// keeps reports whether the job leaves files when it ends so.
func (e *ending) keeps() bool { return e.to == Held || e.to == Completed }

// sink takes the files of one collection. Those of a job with paths of its own are
// told apart: what some want holds for a release, what stays inside, and the rest.
func (r *run) sink(caps output.Caps) *output.Sink {
	if !r.job.own() {
		return r.s.Outputs.Sink(caps)
	}
	wants := r.job.Wants
	return r.s.Outputs.SinkFor(caps, func(path string) (held, wanted bool) {
		for _, w := range wants {
			if _, ok := w.covers(path); ok {
				held, wanted = held || w.Tree == "", true
			}
		}
		return held, wanted
	})
}

// maxFound bounds what the wants of a job may become together: many wants of one folder
// name each of its files again.
const maxFound = sandbox.MaxOutputFiles

// ownSuccess is the end of a job whose outputs have paths of their own. A single
// file that it named has to be there; folders and patterns may be empty.
func (r *run) ownSuccess(sink *output.Sink, refused []sandbox.Refusal, task string) *ending {
	var empty []string
	found := 0
	for _, w := range r.job.Wants {
		n := covered(w, sink.Taken())
		if n == 0 && w.single() {
			end := missing(w.Path, refused)
			end.task = task
			return end
		}
		if n == 0 {
			empty = append(empty, w.Path)
		}
		if found += n; found > maxFound {
			end := failed("too-many-outputs", fmt.Sprintf("Its outputs name the same files again and again, more than %d times together.", maxFound), "Name each file or folder once, then submit it again.")
			end.task = task
			return end
		}
	}
	end := &ending{sink: sink, task: task, step: step{to: Completed, by: access.System}}
	held, kept := 0, 0
	for _, t := range sink.Taken() {
		if t.Held {
			held++
		} else {
			kept++
		}
	}
	end.detail = []string{"kept", strconv.Itoa(kept)}
	if held > 0 {
		end.to, end.detail = Held, []string{"outputs", strconv.Itoa(held), "kept", strconv.Itoa(kept)}
	}
	if len(empty) > 0 {
		end.reason = NothingFound + clip(strings.Join(empty, ", ")) + "."
	}
	return end
}

// NothingFound begins the reason of a job that ended well and left nothing for some
// folder or pattern that it names.
const NothingFound = "Nothing was found for "

// covered is how many of the files belong to the want.
func covered(w WantInfo, taken []output.Taken) (n int) {
	for _, t := range taken {
		if _, ok := w.covers(t.Path); ok {
			n++
		}
	}
	return n
}

func missing(path string, refused []sandbox.Refusal) *ending {
	for _, f := range refused {
		if f.Path == sandbox.Printable(path) {
			return failed("no-output", fmt.Sprintf("The output %s may not be taken: %s.", clip(path), f.Reason), "Change what the reason names and submit it again.")
		}
	}
	return failed("no-output", fmt.Sprintf("The output %s was not produced.", clip(path)), "Have the command write that file, or name the one that it writes.")
}

// NotKept begins the reason of a job that ran well and whose files the project's tree
// could not take.
const NotKept = "What it made could not be kept in the project's files. "

// leaveOutputs writes what a job leaves: held outputs and files of the project's
// tree. When the tree cannot take them the job has failed, and leaves nothing.
func (s *Service) leaveOutputs(tx *store.Tx, j *Job, end *ending) (step, error) {
	if err := s.keep(tx, j, end.sink.Taken()); err != nil {
		switch fault.KindOf(err) {
		case fault.Exhausted, fault.Conflict, fault.Invalid:
			f := failed("tree", NotKept+fault.Message(err), "Make room or change the path, then submit it again.")
			return f.step, forgetKept(tx, j.ID)
		}
		return step{}, err
	}
	_, err := end.sink.Record(tx, j.ID, j.Project)
	return end.step, err
}

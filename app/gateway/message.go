package gateway

import (
	"slices"
	"strings"

	"tresor/app/job"
)

// withheld says why a caller outside sees no output of programs.
const withheld = "What the programs wrote to standard output and standard error stays inside. Only reviewed outputs leave the server that ran them."

// inTree says why files that stay inside have no size and no hash outside.
const inTree = "Outputs below file:///project/ stay inside: their sizes, their hashes and the names of files in folders are shown inside only."

// nothingThere says outside that an output was not found; its name is a program's to choose.
const nothingThere = "An output that the task names was not there, or held nothing."

// codesInside says why a machine reads no other exit code than 0 and 1.
const codesInside = "Exit codes other than 0 are shown as 1 outside the server that ran it, without the times of each command; the time of its end is shown to the minute."

// reasonInside is all that a machine reads of an output that a program did not leave as it
// was asked for.
const reasonInside = "The commands ended, but an output that the task names was not produced, may not be taken or could not be kept, or a file that a command reads or writes could not be put in place. " +
	"Correct the task and send it again; the person who answers for it sees the reason on the job's page."

// heldOutside is all that a machine reads of outputs that wait: whether checks hold them
// back depends on what is in them.
const heldOutside = "The outputs are held: their release waits for the output checkers, or for the person in the project who answers for this task."

func failedTask(j job.Job) bool {
	for _, t := range j.Tasks {
		if t.ExitCode != nil && *t.ExitCode != 0 {
			return true
		}
	}
	return false
}

// messages says for people where a task stands. They name no person and no file. A machine
// reads one of few fixed texts: its task's program chooses among them, and each is a word to
// an accomplice outside.
func messages(p *party, t task, j job.Job) []string {
	var m []string
	add := func(s string) {
		if s != "" {
			m = append(m, s)
		}
	}
	add(waiting(p, t, j))
	if len(j.Refused) > 0 {
		add(notTaken(p, j))
	}
	if p.kind == Inside {
		if j.State.Terminal() {
			add(j.Reason)
			add(j.Next)
		}
		return m
	}
	add(outcome(p, j))
	if strings.HasPrefix(j.Reason, job.NothingFound) && !p.machine() {
		add(nothingThere)
	}
	if p.machine() && j.State.Terminal() && failedTask(j) {
		add(codesInside)
	}
	if len(j.Tasks) > 0 && j.Tasks[0].StartedAt != nil {
		add(withheld)
	}
	for _, w := range j.Wants {
		if w.Tree != "" && j.State.Terminal() {
			add(inTree)
			break
		}
	}
	return m
}

// notTaken says that something which the task left was not taken. It names no file and
// no number: a program chooses both. A machine hears it when people have released the rest.
func notTaken(p *party, j job.Job) string {
	switch {
	case p.machine() && j.State != job.Released:
		return ""
	case p.machine():
		return "Not all of what it left was taken: some may not be, or all of it is larger than its disk_gb or than a task may leave here. The person who answers for it sees on the job's page what and why."
	case j.Outgrew():
		return "Its outputs together are larger than its disk_gb, or than a task may leave here, so not all of them were taken. Ask for a larger disk_gb, or leave less."
	}
	return "Some of what it left was not taken. The person who answers for it sees on the job's page what and why."
}

// Beginnings of reasons of app/job that hold nothing but numbers. Another reason may hold
// the name of a file or of a person, or words of a program.
const commandFailed = "The command "

var limitReached = []string{"It ran longer than its limit of ", "It needed more memory than its limit of "}

func begins(text string, heads ...string) bool {
	return slices.ContainsFunc(heads, func(head string) bool { return strings.HasPrefix(text, head) })
}

// failure says outside why a task failed.
func failure(p *party, j job.Job) string {
	switch {
	case begins(j.Reason, limitReached...):
		return j.Reason + " Correct the task and send it again."
	case p.machine() && begins(j.Reason, commandFailed): // the rest holds the exit code
		return "A command ended with an exit code other than 0. Correct the task and send it again."
	case p.machine() && stateOf(j) == string(job.Failed):
		return reasonInside
	case begins(j.Reason, job.NotKept):
		return "What it made could not be kept in the project's files: they are full, or a path is in use. Ask the lead of the project, or use another path, and send it again."
	case begins(j.Reason, commandFailed, job.Unplaced):
		return j.Reason + " Correct the task and send it again."
	case stateOf(j) == broken:
		return "The server could not run it. Its operator finds the cause in the log under the task's id."
	}
	return "The command ended, but an output that the task names was not produced or may not be taken. Correct the task and send it again."
}

// outcome says outside why a task ended as it did, in words that are ours.
func outcome(p *party, j job.Job) string {
	switch j.State {
	case job.Failed:
		return failure(p, j)
	case job.Cancelled:
		return "It was cancelled."
	case job.Rejected:
		return "Reviewers rejected the outputs. They will not leave this server."
	case job.Refused:
		if _, why, ok := strings.Cut(j.Reason, " refused it: "); ok { // without the name before
			return "It was refused here: " + paragraph(why, 1000)
		}
		return "It may not run any more: something that was true when it was sent is not true now. Send it again, or ask the lead of the project."
	}
	return ""
}

// waiting says what an open task waits for, and whose turn it is.
func waiting(p *party, t task, j job.Job) string {
	switch j.State {
	case job.Submitted:
		if j.WaitingImage != "" {
			return "Waits for the image " + line(j.WaitingImage, 200) + ": an operator of this server has to import and approve it."
		}
		return "Waits for approval by the lead of the project or a data steward."
	case job.Queued:
		if j.Reason != "" {
			return j.Reason
		}
		return "Waits for a free place on the server."
	case job.Held:
		if p.machine() {
			return heldOutside
		}
		if t.wayNote != "" {
			return t.wayNote
		}
		if j.AirlockRequest != "" {
			return "The outputs are held: a request for their release is with the reviewers or the person who answers for this task."
		}
		return "The outputs are held: the person in the project who answers for this task has to ask for their release."
	}
	return ""
}

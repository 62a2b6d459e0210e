package model

// State is tesState.
type State string

// The states of TES 1.1. This appliance shows the first seven only: clients take
// PAUSED and UNKNOWN for finished and lose CANCELING and PREEMPTED.
const (
	Queued        State = "QUEUED"
	Initializing  State = "INITIALIZING"
	Running       State = "RUNNING"
	Complete      State = "COMPLETE"
	ExecutorError State = "EXECUTOR_ERROR"
	SystemError   State = "SYSTEM_ERROR"
	Canceled      State = "CANCELED"
	Unknown       State = "UNKNOWN"
	Paused        State = "PAUSED"
	Canceling     State = "CANCELING"
	Preempted     State = "PREEMPTED"
)

// JobBroken is the word for a job that failed by no fault of its executors. A job
// that is "failed" ended because an executor did: by its exit code or at a limit.
const JobBroken = "broken"

// shown lists which job states a TES state stands for.
var shown = map[State][]string{
	Queued:        {"submitted", "approved", "queued"},
	Initializing:  {"preparing"},
	Running:       {"running", "collecting", "held"},
	Complete:      {"released", "completed"},
	ExecutorError: {"failed"},
	SystemError:   {JobBroken, "refused", "rejected"},
	Canceled:      {"cancelled"},
	Unknown:       nil, Paused: nil, Canceling: nil, Preempted: nil,
}

var ofJob = func() map[string]State {
	m := map[string]State{}
	for s, jobs := range shown {
		for _, j := range jobs {
			m[j] = s
		}
	}
	return m
}()

// OfJob gives the state that a job's state shows. A word that is none of ours is
// SYSTEM_ERROR: a client must neither wait for ever nor believe in a success.
func OfJob(job string) State {
	if s, ok := ofJob[job]; ok {
		return s
	}
	return SystemError
}

// Jobs gives the job states that show s, for a filter; none for the states that
// this appliance never shows.
func (s State) Jobs() []string { return append([]string(nil), shown[s]...) }

// Valid reports whether s is a state of the specification.
func (s State) Valid() bool {
	_, ok := shown[s]
	return ok
}

// Over reports whether a task in s has ended for good.
func (s State) Over() bool {
	return s == Complete || s == ExecutorError || s == SystemError || s == Canceled
}

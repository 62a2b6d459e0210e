// Package tesclient is a small GA4GH TES 1.1 client, written from the published
// schema alone: it shares no type, no constant and no helper with the service that
// it drives, so that a misreading of the specification cannot hide on both sides.
// Tests only.
//
// It reads answers the way the strictest real client does: a key that the schema
// does not name, null where a value belongs, a time that is no time, a state that
// does not exist or a required array that is missing is an error. It keeps nothing.
package tesclient

// State is tesState.
type State string

// The states of the schema, those of 1.1 included.
const (
	Unknown       State = "UNKNOWN"
	Queued        State = "QUEUED"
	Initializing  State = "INITIALIZING"
	Running       State = "RUNNING"
	Paused        State = "PAUSED"
	Complete      State = "COMPLETE"
	ExecutorError State = "EXECUTOR_ERROR"
	SystemError   State = "SYSTEM_ERROR"
	Canceled      State = "CANCELED"
	Preempted     State = "PREEMPTED"
	Canceling     State = "CANCELING"
)

var states = []State{Unknown, Queued, Initializing, Running, Paused, Complete, ExecutorError, SystemError, Canceled, Preempted, Canceling}

// Over reports whether a client stops to wait at s.
func (s State) Over() bool {
	return s != Queued && s != Initializing && s != Running
}

// Task is tesTask.
type Task struct {
	ID           string            `json:"id,omitempty"`
	State        State             `json:"state,omitempty"`
	Name         string            `json:"name,omitempty"`
	Description  string            `json:"description,omitempty"`
	Inputs       []Input           `json:"inputs,omitempty"`
	Outputs      []Output          `json:"outputs,omitempty"`
	Resources    *Resources        `json:"resources,omitempty"`
	Executors    []Executor        `json:"executors,omitempty"`
	Volumes      []string          `json:"volumes,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	Logs         []TaskLog         `json:"logs,omitempty"`
	CreationTime string            `json:"creation_time,omitempty"`
}

// Input is tesInput.
type Input struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url,omitempty"`
	Path        string `json:"path"`
	Type        string `json:"type,omitempty"`
	Content     string `json:"content,omitempty"`
	Streamable  bool   `json:"streamable,omitempty"`
}

// Output is tesOutput.
type Output struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url"`
	Path        string `json:"path"`
	PathPrefix  string `json:"path_prefix,omitempty"`
	Type        string `json:"type,omitempty"`
}

// Executor is tesExecutor.
type Executor struct {
	Image       string            `json:"image"`
	Command     []string          `json:"command"`
	Workdir     string            `json:"workdir,omitempty"`
	Stdin       string            `json:"stdin,omitempty"`
	Stdout      string            `json:"stdout,omitempty"`
	Stderr      string            `json:"stderr,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	IgnoreError bool              `json:"ignore_error,omitempty"`
}

// Resources is tesResources.
type Resources struct {
	CPUCores    *int32            `json:"cpu_cores,omitempty"`
	Preemptible *bool             `json:"preemptible,omitempty"`
	RAMGB       *float64          `json:"ram_gb,omitempty"`
	DiskGB      *float64          `json:"disk_gb,omitempty"`
	Zones       []string          `json:"zones,omitempty"`
	Backend     map[string]string `json:"backend_parameters,omitempty"`
	Strict      bool              `json:"backend_parameters_strict,omitempty"`
}

// TaskLog is tesTaskLog.
type TaskLog struct {
	Logs       []ExecutorLog     `json:"logs"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	StartTime  string            `json:"start_time,omitempty"`
	EndTime    string            `json:"end_time,omitempty"`
	Outputs    []OutputFileLog   `json:"outputs"`
	SystemLogs []string          `json:"system_logs,omitempty"`
}

// ExecutorLog is tesExecutorLog.
type ExecutorLog struct {
	StartTime string `json:"start_time,omitempty"`
	EndTime   string `json:"end_time,omitempty"`
	Stdout    string `json:"stdout,omitempty"`
	Stderr    string `json:"stderr,omitempty"`
	ExitCode  *int32 `json:"exit_code"`
}

// OutputFileLog is tesOutputFileLog.
type OutputFileLog struct {
	URL       string `json:"url"`
	Path      string `json:"path"`
	SizeBytes string `json:"size_bytes"`
}

// Page is tesListTasksResponse.
type Page struct {
	Tasks []Task `json:"tasks"`
	Next  string `json:"next_page_token,omitempty"`
}

// ServiceInfo is tesServiceInfo; keys beyond the schema are allowed here.
type ServiceInfo struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type struct {
		Group    string `json:"group"`
		Artifact string `json:"artifact"`
		Version  string `json:"version"`
	} `json:"type"`
	Organization struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	} `json:"organization"`
	Version string   `json:"version"`
	Storage []string `json:"storage"`
	Backend []string `json:"tesResources_backend_parameters"`
}

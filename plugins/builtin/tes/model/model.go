// Package model holds the types of GA4GH TES 1.1 and what is decided about them
// without anybody's help: reading a task that a stranger sent, the three views of
// a task, and which state a job shows.
//
// It is pure: no clock, no network, no file, nothing of the program. The TES
// plugin and the hub use the same package, so that a task means the same on both
// sides of a link. Absent means absent everywhere: an empty string, an empty map
// or an empty optional list has no key, required lists are [] and never null, and
// no key is written that the published schema lacks, because real clients refuse
// such answers.
package model

// Task is tesTask. ID, State, Logs and CreationTime belong to the server.
type Task struct {
	ID           string            `json:"id,omitempty"`
	State        State             `json:"state,omitempty"`
	Name         string            `json:"name,omitempty"`
	Description  string            `json:"description,omitempty"`
	Inputs       []Input           `json:"inputs,omitempty"`
	Outputs      []Output          `json:"outputs,omitempty"`
	Resources    *Resources        `json:"resources,omitempty"`
	Executors    []Executor        `json:"executors"`
	Volumes      []string          `json:"volumes,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	Logs         []TaskLog         `json:"logs,omitempty"`
	CreationTime string            `json:"creation_time,omitempty"` // RFC 3339, UTC
}

// FileType says what an input or output is.
type FileType string

// The file types. A client may leave the type out; then it is a file.
const (
	File      FileType = "FILE"
	Directory FileType = "DIRECTORY"
)

// Input is tesInput: a file or folder that is there before the first executor.
type Input struct {
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"`
	URL         string   `json:"url,omitempty"`
	Path        string   `json:"path"` // absolute, in the container
	Type        FileType `json:"type,omitempty"`
	Content     *string  `json:"content,omitempty"` // nil: there is none, URL counts
	Streamable  bool     `json:"streamable,omitempty"`
}

// Output is tesOutput: what is taken after the last executor.
type Output struct {
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"`
	URL         string   `json:"url"`
	Path        string   `json:"path"` // absolute; may hold * ? [ when PathPrefix is set
	PathPrefix  string   `json:"path_prefix,omitempty"`
	Type        FileType `json:"type,omitempty"`
}

// Executor is tesExecutor: one command in one image.
type Executor struct {
	Image       string            `json:"image"`
	Command     []string          `json:"command"` // argv, never a shell line
	Workdir     string            `json:"workdir,omitempty"`
	Stdin       string            `json:"stdin,omitempty"`
	Stdout      string            `json:"stdout,omitempty"`
	Stderr      string            `json:"stderr,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	IgnoreError bool              `json:"ignore_error,omitempty"`
}

// Resources is tesResources; zero means that the task does not ask.
type Resources struct {
	CPUCores                int32             `json:"cpu_cores,omitempty"` // a whole number: strict clients refuse 1.0
	Preemptible             bool              `json:"preemptible,omitempty"`
	RAMGB                   float64           `json:"ram_gb,omitempty"`
	DiskGB                  float64           `json:"disk_gb,omitempty"`
	Zones                   []string          `json:"zones,omitempty"`
	BackendParameters       map[string]string `json:"backend_parameters,omitempty"`
	BackendParametersStrict bool              `json:"backend_parameters_strict,omitempty"`
}

// TaskLog is tesTaskLog. Logs and Outputs are required: [] when there is nothing.
type TaskLog struct {
	Logs       []ExecutorLog     `json:"logs"` // of the executors that ended, in order
	Metadata   map[string]string `json:"metadata,omitempty"`
	StartTime  string            `json:"start_time,omitempty"`
	EndTime    string            `json:"end_time,omitempty"`
	Outputs    []OutputFileLog   `json:"outputs"`
	SystemLogs []string          `json:"system_logs,omitempty"` // only in the view FULL
}

// ExecutorLog is tesExecutorLog, of an executor that ended.
type ExecutorLog struct {
	StartTime string `json:"start_time,omitempty"`
	EndTime   string `json:"end_time,omitempty"`
	Stdout    string `json:"stdout,omitempty"` // only in the view FULL
	Stderr    string `json:"stderr,omitempty"` // only in the view FULL
	ExitCode  int32  `json:"exit_code"`
}

// OutputFileLog is tesOutputFileLog: one file that an output became.
type OutputFileLog struct {
	URL       string `json:"url"`
	Path      string `json:"path"`
	SizeBytes int64  `json:"size_bytes,string"` // a string on the wire, as the schema says
}

// ListTasksResponse is tesListTasksResponse.
type ListTasksResponse struct {
	Tasks         []Task `json:"tasks"`
	NextPageToken string `json:"next_page_token,omitempty"`
}

// CreateTaskResponse is tesCreateTaskResponse.
type CreateTaskResponse struct {
	ID string `json:"id"`
}

// ServiceInfo is tesServiceInfo. Storage is left out: some clients take it as a
// list of folders that they may use themselves.
type ServiceInfo struct {
	ID                string       `json:"id"`
	Name              string       `json:"name"`
	Type              ServiceType  `json:"type"`
	Description       string       `json:"description,omitempty"`
	Organization      Organization `json:"organization"`
	ContactURL        string       `json:"contactUrl,omitempty"`
	DocumentationURL  string       `json:"documentationUrl,omitempty"`
	Version           string       `json:"version"`
	BackendParameters []string     `json:"tesResources_backend_parameters"`
}

// ServiceType says which protocol, and which version of the protocol, a service speaks.
type ServiceType struct {
	Group    string `json:"group"`
	Artifact string `json:"artifact"`
	Version  string `json:"version"`
}

// Organization runs a service.
type Organization struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// TES11 is the service type of every TES 1.1 service.
var TES11 = ServiceType{Group: "org.ga4gh", Artifact: "tes", Version: "1.1.0"}

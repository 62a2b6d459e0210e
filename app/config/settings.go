package config

// Config is every setting of one appliance. The comments below are the manual:
// default.toml, which `tresor init` writes, is made from them, and a test fails
// when it is stale. A setting is named by its section and key as in the file
// ("tls.mode"); the environment variable TRESOR_TLS_MODE and the flag
// --set tls.mode=files override it, the flag last.
type Config struct {
	// Folder that holds everything: database, files, keys, certificates, backups.
	// A relative path starts at the folder the program was started in. When this file lies in
	// the folder itself, say --data or TRESOR_DATA instead.
	Data string `toml:"data"`
	// Address and port to serve on. Only this machine can reach 127.0.0.1;
	// ":443" serves every network. Port 0 takes a free port.
	Listen string `toml:"listen"`
	// Address that people type, such as "https://tresor.example.org". Sign-in links start
	// with it. Empty: made from tls.domain or the address served on.
	URL string `toml:"url"`
	// Name of the institution or site, shown on every page and in every release.
	Name string `toml:"name"`
	// Demo people, project and dataset, with sign-in links that last for days.
	// Never turn this on where real data is.
	Demo bool `toml:"demo"`
	// Only this part of the demonstration's data, such as "1/3": every third row, from the
	// first. Several demonstrations then hold different people, as the nodes of a federation do.
	DemoPart string `toml:"demo_part"`
	// Serve as a federation hub: no data, no containers, only nodes, projects and tasks that are
	// passed on. `tresor hub serve` sets it; a data folder stays what it was made as.
	Hub bool `toml:"hub"`

	// Certificates for the address above.
	TLS TLS `toml:"tls"`
	// Containers and the part of this machine they may use.
	Sandbox Sandbox `toml:"sandbox"`
	// What one job may use.
	Limits Limits `toml:"limits"`
	// What may be brought in.
	Intake Intake `toml:"intake"`
	// The way out.
	Airlock Airlock `toml:"airlock"`
	// People and their sessions.
	Identity Identity `toml:"identity"`
	// Links to federation hubs.
	Federation Federation `toml:"federation"`
	// The log of the program itself. The audit log is separate and has no settings.
	Log Log `toml:"log"`
}

// TLS says where the certificate comes from.
type TLS struct {
	// "local": an own certificate authority made at first start; browsers trust it after its
	// certificate was imported once. "acme": from a certificate authority such as Let's Encrypt
	// or your institution's. "files": two files that you renew. "off": plain HTTP, allowed only
	// when listen is an address of this machine alone.
	Mode string `toml:"mode"`
	// Names for the certificate. "acme": host names that the authority can reach.
	// "local": more names and addresses than this machine's own.
	Domain []string `toml:"domain"`
	// "acme": where the authority may write to you.
	Email string `toml:"email"`
	// "acme": directory address of the authority. Empty: Let's Encrypt.
	CA string `toml:"ca"`
	// "acme": PEM file with the certificates that the authority's own server is checked against.
	// Empty: the system's.
	CARoots string `toml:"ca_roots"`
	// "acme": key id and key that some authorities ask for (external account binding).
	EABID  string `toml:"eab_id"`
	EABKey string `toml:"eab_key" secret:"true"`
	// "acme": second address for the authority's check over plain HTTP, such as ":80". It also
	// sends browsers to https. Empty: the check goes over TLS on the address served on.
	HTTPListen string `toml:"http_listen"`
	// "files": PEM files with the certificate (the whole chain, own certificate first) and its
	// key. They are read again when they change.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
}

// Sandbox is where jobs run.
type Sandbox struct {
	// Unix socket of a Podman service that is already running. Empty: the program starts
	// and watches its own.
	Socket string `toml:"socket"`
	// System account that owns the containers when the program runs as root or as a
	// service. Whoever breaks out of a container is this account, which owns no data.
	Account string `toml:"account"`
	// Run jobs even where memory, process and CPU limits cannot be enforced. Every job
	// record and every page then says so.
	AllowUnlimited bool `toml:"allow_unlimited"`
	// CPU cores that all running jobs together may use. 0: all of this machine.
	Cores int `toml:"cores"`
	// Memory that all running jobs together may use. 0: three quarters of this machine.
	Memory Size `toml:"memory"`
}

// Limits bound one job.
type Limits struct {
	// What a job gets when it asks for nothing.
	Default JobLimits `toml:"default"`
	// The most that a job may ask for.
	Max JobLimits `toml:"max"`
	// What one person may send with tokens, over all of them and the programs of their tasks.
	// What comes by way of the pages and the command line is not counted.
	Person PersonLimits `toml:"person"`
}

// JobLimits is one set of limits. Each task of a job has them in full.
type JobLimits struct {
	// Memory.
	Memory Size `toml:"memory"`
	// CPU cores; 0.5 is half of one.
	Cores float64 `toml:"cores"`
	// Processes and threads.
	Pids int64 `toml:"pids"`
	// Running time of one task.
	Wall Duration `toml:"wall"`
	// One file that a task writes.
	FileSize Size `toml:"file_size"`
	// What is kept of the log.
	LogSize Size `toml:"log_size"`
	// Number of output files.
	OutputFiles int `toml:"output_files"`
	// All output files together.
	OutputBytes Size `toml:"output_bytes"`
}

// PersonLimits bound what comes with the tokens of one person.
type PersonLimits struct {
	// Tasks in an hour.
	TasksPerHour int `toml:"tasks_per_hour"`
	// Tasks that have not ended.
	OpenTasks int `toml:"open_tasks"`
	// CPU cores of one task. 0: what limits.max allows.
	Cores int `toml:"cores"`
}

// Intake bounds what comes in.
type Intake struct {
	// All files of one dataset version together.
	Dataset Size `toml:"dataset"`
	// One image archive.
	Image Size `toml:"image"`
	// All small files given along with a job together.
	JobInputs Size `toml:"job_inputs"`
}

// Airlock bounds what goes out. A project may be set stricter by a data steward.
type Airlock struct {
	// Counts below this number are pointed out and have to be explained.
	Threshold int `toml:"threshold"`
	// Reviewers who have to agree.
	Reviewers int `toml:"reviewers"`
	// One file of a request.
	MaxFile Size `toml:"max_file"`
	// All files of a request together.
	MaxRequest Size `toml:"max_request"`
	// Number of files in a request.
	MaxFiles int `toml:"max_files"`
}

// Identity is how people sign in and how long a session lives.
type Identity struct {
	// Ask everybody for a second factor (six digits from an authenticator app).
	RequireTOTP bool `toml:"require_totp"`
	// Shortest password.
	PasswordMin int `toml:"password_min"`
	// A session ends when it is not used for this long.
	Idle Duration `toml:"idle"`
	// The same for operators and output checkers.
	IdlePrivileged Duration `toml:"idle_privileged"`
	// A session ends at the latest after this time.
	Absolute Duration `toml:"absolute"`
	// Sensitive actions ask for the password again when the last time is longer ago.
	StepUp Duration `toml:"step_up"`
	// How long a one-time link for a new person or a forgotten password works.
	Link Duration `toml:"link"`
	// How long the sign-in links of the demo work.
	DemoLink Duration `toml:"demo_link"`
}

// Log is the program's own log on standard error.
type Log struct {
	// "debug", "info", "warn" or "error".
	Level string `toml:"level"`
	// "text" for people, "json" for programs.
	Format string `toml:"format"`
}

// Default returns the settings that hold when nothing is configured.
func Default() Config {
	return Config{
		Data:    "/var/lib/tresor",
		Listen:  "127.0.0.1:8443",
		Name:    "Tresor",
		TLS:     TLS{Mode: TLSLocal, Domain: []string{}},
		Sandbox: Sandbox{Account: "tresor-sandbox"},
		Limits: Limits{
			Default: JobLimits{Memory: 1 * GiB, Cores: 1, Pids: 256, Wall: Minutes(10), FileSize: 1 * GiB, LogSize: 8 * MiB, OutputFiles: 50, OutputBytes: 256 * MiB},
			Max:     JobLimits{Memory: 64 * GiB, Cores: 32, Pids: 4096, Wall: Minutes(24 * 60), FileSize: 100 * GiB, LogSize: 64 * MiB, OutputFiles: 1000, OutputBytes: 10 * GiB},
			Person:  PersonLimits{TasksPerHour: 10_000, OpenTasks: 5_000},
		},
		Intake:  Intake{Dataset: 100 * GiB, Image: 20 * GiB, JobInputs: 4 * MiB},
		Airlock: Airlock{Threshold: 10, Reviewers: 2, MaxFile: 16 * MiB, MaxRequest: 64 * MiB, MaxFiles: 50},
		Identity: Identity{RequireTOTP: true, PasswordMin: 12, Idle: Minutes(30), IdlePrivileged: Minutes(15),
			Absolute: Minutes(12 * 60), StepUp: Minutes(5), Link: Minutes(72 * 60), DemoLink: Minutes(7 * 24 * 60)},
		Federation: Federation{KeepResults: Minutes(30 * 24 * 60), KeepTasks: Minutes(180 * 24 * 60)},
		Log:        Log{Level: "info", Format: "text"},
	}
}

// Federation settings.
type Federation struct {
	// Proxy for the links to hubs and for fetched inputs, such as "http://proxy.example.org:3128".
	// Empty: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment say. "none": no proxy.
	Proxy string `toml:"proxy"`
	// Allow hubs at http:// addresses on this machine (loopback), for trying things out.
	Plain bool `toml:"plain"`
	// As a hub: how long released results stay here after their task has ended at all nodes.
	// The nodes keep their releases. 0s: for ever.
	KeepResults Duration `toml:"keep_results"`
	// As a hub: how long a task stays here after its end, with what was sent and what the
	// nodes said of it. It stays as long as a result of it is here, too. The audit log keeps
	// its events. 0s: for ever.
	KeepTasks Duration `toml:"keep_tasks"`
}

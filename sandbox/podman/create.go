package podman

import (
	"fmt"
	"math"
	"slices"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// body is what we ever send to POST /containers/create: an allow-list. Podman's own
// struct has 200 fields, most of which could loosen a sandbox; here a field that is not
// needed does not exist.
type body struct {
	Name            string            `json:"name"`
	Image           string            `json:"image"`
	Entrypoint      []string          `json:"entrypoint"`
	Command         []string          `json:"command"`
	Labels          map[string]string `json:"labels"`
	WorkDir         string            `json:"work_dir"`
	User            string            `json:"user"`
	Umask           string            `json:"umask"`
	Hostname        string            `json:"hostname"`
	RestartPolicy   string            `json:"restart_policy"`
	Timeout         uint              `json:"timeout"` // seconds; conmon kills then, whether we live or not
	ImageVolumeMode string            `json:"image_volume_mode"`
	Log             logConfig         `json:"log_configuration"`

	UserNS  namespace `json:"userns"`
	NetNS   namespace `json:"netns"`
	IpcNS   namespace `json:"ipcns"`
	PidNS   namespace `json:"pidns"`
	UtsNS   namespace `json:"utsns"`
	CgroupN namespace `json:"cgroupns"`

	CapDrop         []string `json:"cap_drop"`
	NoNewPrivileges bool     `json:"no_new_privileges"`
	Seccomp         string   `json:"seccomp_profile_path"`
	Mask            []string `json:"mask"`
	ReadOnly        bool     `json:"read_only_filesystem"`
	ReadWriteTmpfs  bool     `json:"read_write_tmpfs"` // the automatic writable tmpfs: off
	HTTPProxy       bool     `json:"httpproxy"`        // off: the host's proxy settings stay outside
	UnsetEnvAll     bool     `json:"unsetenvall"`
	ManagePassword  bool     `json:"manage_password"` // off: /etc/passwd is the image's
	NoHosts         bool     `json:"use_image_hosts"` // Podman's name for --no-hosts
	NoResolv        bool     `json:"use_image_resolve_conf"`

	Mounts  []mount   `json:"mounts"`
	Volumes []volume  `json:"volumes"`
	Limits  resources `json:"resource_limits"`
	Rlimits []rlimit  `json:"r_limits"`

	Sysctl map[string]string `json:"sysctl,omitempty"` // of the container's own network namespace; see insideSysctl
}

type namespace struct {
	NSMode string `json:"nsmode"`
}

type logConfig struct {
	Driver string `json:"driver"`
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

type volume struct {
	Name    string
	Dest    string
	Options []string
}

type resources struct {
	CPU    *cpuLimit    `json:"cpu,omitempty"`
	Memory *memoryLimit `json:"memory,omitempty"`
	Pids   *pidsLimit   `json:"pids,omitempty"`
}

type cpuLimit struct {
	Quota  int64  `json:"quota"`
	Period uint64 `json:"period"`
}

type memoryLimit struct {
	Limit int64 `json:"limit"`
	Swap  int64 `json:"swap"` // memory and swap together: the same, so no swap
}

type pidsLimit struct {
	Limit int64 `json:"limit"`
}

type rlimit struct {
	Type string `json:"type"`
	Hard uint64 `json:"hard"`
	Soft uint64 `json:"soft"`
}

const (
	labelOurs      = "tresor"          // every container and volume: the instance
	labelUser      = "tresor.label."   // before each label of the Spec
	labelCollector = "tresor.collects" // on a collector or maker: the ref it works for
	tmpSize        = 1 << 30           // bytes of /tmp, within the memory limit
	shmSize        = 256 << 20         // bytes of /dev/shm, within the memory limit
	hardTimeout    = 2 * time.Minute   // how long after its wall time the engine kills a container
	maxProcs       = 32768             // Podman lowers its own limit to this on small hosts, and nobody may go above
	cpuPeriod      = 100_000           // microseconds
)

// masked are paths that say something about the host. Podman masks its own list besides.
var masked = []string{
	"/proc/interrupts", "/proc/softirqs", "/proc/kallsyms", "/proc/modules", "/proc/diskstats", "/proc/partitions", "/proc/swaps",
	"/proc/cmdline", "/proc/config.gz", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/zoneinfo", "/proc/buddyinfo",
	"/proc/pagetypeinfo", "/proc/pressure", "/proc/key-users", "/proc/schedstat",
	"/sys/devices", "/sys/class", "/sys/block", "/sys/bus", "/sys/module", "/sys/kernel", "/sys/power", "/sys/hypervisor",
}

// hardened is the part of every create body that no Spec can touch.
func (r *Runner) hardened(h *host, name string) body {
	return body{
		Name: name, Entrypoint: []string{agent.Dir + "/" + agent.BinaryName, "agent"}, Command: []string{}, WorkDir: "/",
		User: "1000:1000", Umask: "0022", Hostname: "work", RestartPolicy: "no", ImageVolumeMode: "ignore", Log: logConfig{Driver: "none"},
		UserNS: namespace{"no-map"}, NetNS: namespace{"none"}, IpcNS: namespace{"private"}, PidNS: namespace{"private"},
		UtsNS: namespace{"private"}, CgroupN: namespace{"private"},
		CapDrop: []string{"all"}, NoNewPrivileges: true, Seccomp: r.seccompFile(), Mask: masked, ReadOnly: true,
		UnsetEnvAll: true, NoHosts: true, NoResolv: true,
	}
}

// role is what a container is for.
type role string

const (
	forTask      role = ""           // the command of a Spec
	forCollector role = "-collector" // looks through the scratch volumes of a container that died
	forMaker     role = "-maker"     // makes the places of inputs inside scratch volumes
)

// of answers the name of the container that does this for ref.
func (o role) of(ref sandbox.Ref) sandbox.Ref { return ref + sandbox.Ref(o) }

// insideSysctl lets the agent, which has no capability, listen where http:// looks. The
// namespace has only its own loopback, so the port is nobody else's.
var insideSysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "80"}

// createBody translates a checked Spec.
func (r *Runner) createBody(h *host, s sandbox.Spec, what role) body {
	ref := what.of(s.Ref)
	run := r.keep(ref).run()
	b := r.hardened(h, string(ref))
	b.Image = s.Image
	b.Labels = r.labels(s, what)
	b.Timeout = uint(math.Ceil((s.Limits.Wall + hardTimeout).Seconds()))
	b.Mounts = append(mounts(s, what), mount{agent.Dir, "bind", run, readOnly})
	if what == forTask && s.Inside {
		b.Mounts = append(b.Mounts, mount{"/etc/hosts", "bind", r.hostsFile(), readOnly})
		b.Sysctl = insideSysctl
	}
	b.Volumes = r.mountScratch(s, what)
	b.Limits = limits(s.Limits, h)
	b.Rlimits = rlimits(s.Limits, h)
	return b
}

func (r *Runner) labels(s sandbox.Spec, what role) map[string]string {
	l := map[string]string{labelOurs: r.instance}
	if what != forTask {
		l[labelCollector] = string(s.Ref)
		return l
	}
	for k, v := range s.Labels {
		l[labelUser+k] = v
	}
	return l
}

var readOnly = []string{"bind", "ro", "nosuid", "nodev", "rprivate"}

func mounts(s sandbox.Spec, what role) []mount {
	tmp := []string{"rw", "nosuid", "nodev", "noexec", fmt.Sprintf("size=%d", min(tmpSize, s.Limits.Memory)), "mode=1777", "notmpcopyup"}
	// Newer engines make /dev/shm read-only with the root, and then semaphores of Python and R fail.
	shm := []string{"rw", "nosuid", "nodev", "noexec", fmt.Sprintf("size=%d", min(shmSize, s.Limits.Memory)), "mode=1777", "notmpcopyup"}
	out := []mount{{"/dev/shm", "tmpfs", "tmpfs", shm}}
	if !slices.ContainsFunc(s.Scratch, func(v sandbox.Scratch) bool { return v.Target == "/tmp" }) {
		out = append(out, mount{"/tmp", "tmpfs", "tmpfs", tmp})
	}
	if what != forTask {
		return out
	}
	for _, b := range s.Binds {
		out = append(out, mount{b.Target, "bind", b.Source, readOnly})
	}
	return out
}

func (r *Runner) mountScratch(s sandbox.Spec, what role) (out []volume) {
	options := []string{"rw", "nosuid", "nodev", "nocopy", "rprivate"}
	if what == forCollector {
		options = []string{"ro", "nosuid", "nodev", "noexec", "nocopy", "rprivate"}
	}
	for _, v := range s.Scratch {
		out = append(out, volume{r.volumeName(v.Name), v.Target, options})
	}
	return out
}

// limits asks for what the engine can enforce. What it cannot, fit has refused or the operator allowed.
func limits(l sandbox.Limits, h *host) (out resources) {
	binds := func(name string) bool { return h.caps.Cgroup == "v2" && slices.Contains(h.caps.Controllers, name) }
	if binds("cpu") {
		out.CPU = &cpuLimit{Quota: max(int64(l.Cores*cpuPeriod), 1000), Period: cpuPeriod}
	}
	if binds("memory") {
		out.Memory = &memoryLimit{Limit: l.Memory, Swap: l.Memory}
	}
	if binds("pids") {
		out.Pids = &pidsLimit{Limit: l.Pids}
	}
	return out
}

// rlimits are always explicit: the engine's defaults may lie above what this host lets us
// set. nproc is no substitute for the pids controller: the kernel adds up all containers
// of the account, so one would take from another.
func rlimits(l sandbox.Limits, h *host) []rlimit {
	file, files := uint64(max(l.FileSize, l.LogSize+1<<20)), min(h.nofile, 65536)
	procs := min(h.nproc, maxProcs)
	return []rlimit{{"nofile", files, files}, {"nproc", procs, procs}, {"core", 0, 0}, {"fsize", file, file}}
}

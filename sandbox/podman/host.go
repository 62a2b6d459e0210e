package podman

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// host is what was learned about the engine.
type host struct {
	caps      sandbox.Capabilities
	uids      []idRange
	insideUID uint32 // this host's id of uid 1000 inside
	insideGID uint32
	nofile    uint64 // highest limits that we may ask for
	nproc     uint64
	at        time.Time
}

type idRange struct {
	Container int64 `json:"container_id"`
	Host      int64 `json:"host_id"`
	Size      int64 `json:"size"`
}

// info is the part of Podman's answer to GET /info that decides something.
type info struct {
	Host struct {
		Arch              string
		CgroupVersion     string   `json:"cgroupVersion"`
		CgroupControllers []string `json:"cgroupControllers"`
		OCIRuntime        struct{ Name, Version string }
		IDMappings        struct{ UIDMap, GIDMap []idRange } `json:"idMappings"`
		Security          struct {
			Rootless       bool
			SECCOMPEnabled bool `json:"seccompEnabled"`
		}
	}
	Store struct {
		GraphDriverName string
	}
	Version struct{ Version string }
}

const (
	hostAge      = time.Minute
	wantIDs      = 65536
	oldestPodman = "4.3"
	accountHelp  = "run scripts/sandbox-account as root"
)

// look asks the engine what it can do, or remembers. It answers *sandbox.ErrUnfit when nothing may run.
func (r *Runner) look(ctx context.Context) (*host, error) {
	r.mu.Lock()
	h := r.host
	r.mu.Unlock()
	if h != nil && r.o.Now().Sub(h.at) < hostAge {
		return h, nil
	}
	var i info
	if err := r.api.do(ctx, request{method: http.MethodGet, path: "/info", out: &i}); err != nil {
		if h != nil { // busy or restarting; what it could do a minute ago it still can
			return h, nil
		}
		return nil, hostError("info", err)
	}
	h, err := judge(i, r.o.Account)
	if err != nil {
		return nil, err
	}
	h.at = r.o.Now()
	r.mu.Lock()
	r.host = h
	r.mu.Unlock()
	return h, nil
}

// judge refuses an engine that cannot make a sandbox. Pure.
func judge(i info, account string) (*host, error) {
	s := i.Host
	switch {
	case older(i.Version.Version, oldestPodman):
		return nil, sandbox.Unfit("install Podman 4.3 or later (Debian 12, Ubuntu 24.04 and later have it)",
			"Podman %s is too old: %s or later is needed", sandbox.Printable(i.Version.Version), oldestPodman)
	case !s.Security.Rootless:
		return nil, sandbox.Unfit("point sandbox.socket at the service of an unprivileged account, or leave it empty",
			"Podman runs as root, where a container that escapes owns this machine")
	case !s.Security.SECCOMPEnabled:
		return nil, sandbox.Unfit("install a kernel and crun with seccomp", "system call filters (seccomp) are not available")
	case i.Store.GraphDriverName == "vfs":
		return nil, sandbox.Unfit(fmt.Sprintf("as %s run `podman system reset`, then as root scripts/sandbox-account", account),
			"Podman uses the storage driver vfs, which copies the whole image at every start")
	case total(s.IDMappings.UIDMap) < wantIDs || total(s.IDMappings.GIDMap) < wantIDs:
		return nil, sandbox.Unfit(accountHelp, "the account %s has fewer than %d subordinate uids or gids (/etc/subuid, /etc/subgid)", account, wantIDs)
	}
	h := &host{caps: capabilities(i, account), uids: subordinate(s.IDMappings.UIDMap)}
	var err error
	if h.insideUID, err = inside(s.IDMappings.UIDMap, 1000); err != nil {
		return nil, err
	}
	if h.insideGID, err = inside(s.IDMappings.GIDMap, 1000); err != nil {
		return nil, err
	}
	h.nofile, h.nproc = hardLimit(unix.RLIMIT_NOFILE), hardLimit(unix.RLIMIT_NPROC)
	return h, nil
}

func capabilities(i info, account string) sandbox.Capabilities {
	c := sandbox.Capabilities{
		Engine: "podman " + i.Version.Version, Version: i.Version.Version, Runtime: runtimeName(i.Host.OCIRuntime.Name, i.Host.OCIRuntime.Version),
		Cgroup: i.Host.CgroupVersion, Controllers: i.Host.CgroupControllers, Storage: i.Store.GraphDriverName, UserNS: "no-map",
		Rootless: true, Arch: i.Host.Arch, Account: account,
	}
	for name, what := range map[string]string{"memory": "memory", "pids": "number of processes", "cpu": "processor time"} {
		if i.Host.CgroupVersion != "v2" || !slices.Contains(i.Host.CgroupControllers, name) {
			c.Unlimited = append(c.Unlimited, what)
		}
	}
	slices.Sort(c.Unlimited)
	return c
}

func runtimeName(name, version string) string {
	first, _, _ := strings.Cut(version, "\n")
	if f := strings.Fields(first); len(f) > 0 {
		return name + " " + f[len(f)-1]
	}
	return name
}

// older compares major.minor.
func older(have, want string) bool {
	a, b := numbers(have), numbers(want)
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

func numbers(v string) (out [2]int) {
	for i, part := range strings.SplitN(v, ".", 3) {
		if i < 2 {
			out[i], _ = strconv.Atoi(part)
		}
	}
	return out
}

// subordinate leaves out the account itself, which is id 0 of Podman's own namespace.
func subordinate(m []idRange) (out []idRange) {
	for _, r := range m {
		if r.Container != 0 {
			out = append(out, r)
		}
	}
	return out
}

func total(m []idRange) (n int64) {
	for _, r := range subordinate(m) {
		n += r.Size
	}
	return n
}

// inside answers this host's id of an id inside a no-map container: its 0 is Podman's 1.
func inside(m []idRange, id int64) (uint32, error) {
	for _, r := range m {
		if at := id + 1 - r.Container; at >= 0 && at < r.Size {
			return uint32(r.Host + at), nil
		}
	}
	return 0, sandbox.Unfit(accountHelp, "id %d is outside the account's subordinate ranges", id)
}

// allowed says whether a uid of this host can be a process in a container of ours.
func (h *host) allowed(uid uint32) bool {
	for _, r := range h.uids {
		if int64(uid) >= r.Host && int64(uid) < r.Host+r.Size {
			return true
		}
	}
	return false
}

// admits says whether who dials can be the agent of a container of ours: of the account's
// uids, and the first process of its pid namespace. The command is neither first nor able
// to make a namespace in which it would be.
func (h *host) admits(uid uint32, pid int32) bool { return h.allowed(uid) && firstProcess(pid) }

// firstProcess reads the pid in the innermost namespace; a process that is gone is none.
func firstProcess(pid int32) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "NSpid:" {
			return f[len(f)-1] == "1"
		}
	}
	return false
}

func hardLimit(resource int) uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return 1024
	}
	return l.Max
}

// Capabilities implements sandbox.Runner.
func (r *Runner) Capabilities(ctx context.Context) (sandbox.Capabilities, error) {
	h, err := r.look(ctx)
	if err != nil {
		return sandbox.Capabilities{}, err
	}
	return h.caps, nil
}

// fit refuses a host whose limits do not bind, unless the operator has allowed that.
func (r *Runner) fit(h *host) error {
	if len(h.caps.Unlimited) == 0 || r.o.AllowUnlimited {
		return nil
	}
	return sandbox.Unfit("use a host with systemd and cgroup v2 and run scripts/sandbox-account there, or set sandbox.allow_unlimited = true to run without these limits",
		"limits on %s cannot be enforced here (cgroup %s, controllers: %s)", strings.Join(h.caps.Unlimited, ", "), h.caps.Cgroup, strings.Join(h.caps.Controllers, " "))
}

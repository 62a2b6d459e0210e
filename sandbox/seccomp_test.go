package sandbox_test

import (
	"encoding/json"
	"slices"
	"testing"

	"tresor/sandbox"
)

type rule struct {
	Names    []string
	Action   string
	ErrnoRet int
	Args     []struct {
		Index, Value, ValueTwo uint64
		Op                     string
	}
}

type profile struct {
	DefaultAction   string
	DefaultErrnoRet int
	ArchMap         []struct {
		Architecture     string
		SubArchitectures []string
	}
	Syscalls []rule
}

func load(t *testing.T) profile {
	t.Helper()
	var p profile
	if err := json.Unmarshal(sandbox.Seccomp(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// verdicts lists the actions of all rules without conditions on a call.
func (p profile) verdicts(name string) (out []string) {
	for _, r := range p.Syscalls {
		if len(r.Args) == 0 && slices.Contains(r.Names, name) {
			out = append(out, r.Action)
		}
	}
	return out
}

func TestSeccompIsAnAllowList(t *testing.T) {
	p := load(t)
	if p.DefaultAction != "SCMP_ACT_ERRNO" || p.DefaultErrnoRet != 38 {
		t.Errorf("default %s %d", p.DefaultAction, p.DefaultErrnoRet)
	}
	if len(p.ArchMap) != 2 || p.ArchMap[0].Architecture != "SCMP_ARCH_X86_64" || p.ArchMap[1].Architecture != "SCMP_ARCH_AARCH64" ||
		len(p.ArchMap[0].SubArchitectures)+len(p.ArchMap[1].SubArchitectures) != 0 {
		t.Errorf("architectures %+v: 32-bit calls would walk around the filter", p.ArchMap)
	}
	seen := map[string]bool{}
	for _, r := range p.Syscalls {
		if len(r.Args) > 0 {
			continue
		}
		for _, n := range r.Names {
			if seen[n] {
				t.Errorf("%s has two rules without conditions", n)
			}
			seen[n] = true
		}
	}
	for _, r := range p.Syscalls { // libseccomp lets an unconditional rule win over a condition
		for _, n := range r.Names {
			if len(r.Args) > 0 && seen[n] {
				t.Errorf("%s has a condition that an unconditional rule overrides", n)
			}
		}
	}
}

func TestSeccompRefuses(t *testing.T) {
	p := load(t)
	for _, name := range []string{
		"unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "open_tree", "move_mount", "mount_setattr",
		"keyctl", "add_key", "request_key", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "bpf", "perf_event_open",
		"io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "name_to_handle_at", "open_by_handle_at",
		"init_module", "finit_module", "kexec_load", "reboot", "swapon", "syslog", "quotactl", "clone3", "socketcall", "socket", "socketpair", "clone", "personality", "ioctl",
	} {
		if slices.Contains(p.verdicts(name), "SCMP_ACT_ALLOW") {
			t.Errorf("%s is allowed without a condition", name)
		}
	}
	for _, name := range []string{"read", "write", "openat2", "execve", "futex", "mmap", "getrandom", "statx", "wait4", "rseq", "epoll_pwait2"} {
		if !slices.Contains(p.verdicts(name), "SCMP_ACT_ALLOW") {
			t.Errorf("%s is not allowed", name)
		}
	}
}

func TestSeccompConditions(t *testing.T) {
	var families []uint64
	for _, r := range load(t).Syscalls {
		if len(r.Args) == 0 {
			continue
		}
		a := r.Args[0]
		switch {
		case slices.Contains(r.Names, "socket") && r.Action == "SCMP_ACT_ALLOW":
			families = append(families, a.Value)
			if a.Index != 0 || a.Op != "SCMP_CMP_EQ" {
				t.Errorf("socket: %+v", a)
			}
		case slices.Contains(r.Names, "socket") && (a.Value != 16 || r.ErrnoRet != 22):
			t.Errorf("netlink must answer EINVAL: %+v", r)
		case slices.Contains(r.Names, "clone") && (a.Op != "SCMP_CMP_MASKED_EQ" || a.Value != 0x7E020000 || a.ValueTwo != 0):
			t.Errorf("clone lets namespaces through: %+v", a)
		}
	}
	if !slices.Equal(families, []uint64{1, 2, 10}) {
		t.Errorf("socket families %v, want UNIX, INET, INET6", families)
	}
}

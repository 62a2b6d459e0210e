package sandbox

import (
	_ "embed"
	"slices"
)

// The system call filter of every container, in the form of containers/common:
// an allow-list written for this program. JSON holds no comments, so here is why:
//
//   - Unknown calls answer ENOSYS, so that a C library falls back to an older call; known
//     dangerous ones answer EPERM, which programs report.
//   - socket: families UNIX, INET and INET6 only; with no network those reach nothing but
//     the container itself. NETLINK must answer EINVAL: with anything else libzmq aborts
//     and every Jupyter kernel dies. AF_ALG (CVE-2026-31431), VSOCK (reaches a hypervisor)
//     and PACKET are refused.
//   - clone: no CLONE_NEW* flag; clone3 hides its flags behind a pointer that a filter
//     cannot follow, so it answers ENOSYS and the C library uses clone.
//   - No namespaces, mounts, keyrings, tracing, other processes' memory, bpf, perf,
//     io_uring, userfaultfd, file handles, modules, clocks, quotas, NUMA placement.
//   - ioctl: all but TIOCSTI, which types into somebody else's terminal.
//   - personality: the five values that programs ask for; never READ_IMPLIES_EXEC.
//   - x86_64 and aarch64 only: the 32-bit and x32 calls would walk around the filter.
//
//go:embed seccomp.json
var seccomp []byte

// Seccomp answers a copy of the filter.
func Seccomp() []byte { return slices.Clone(seccomp) }

package agent

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// families are the address families by their names; every other number up to 45 is tried too.
var families = map[int]string{
	unix.AF_UNIX: "UNIX", unix.AF_INET: "INET", unix.AF_INET6: "INET6", unix.AF_NETLINK: "NETLINK", unix.AF_PACKET: "PACKET",
	unix.AF_ALG: "ALG", unix.AF_VSOCK: "VSOCK", unix.AF_XDP: "XDP", unix.AF_CAN: "CAN", unix.AF_BLUETOOTH: "BLUETOOTH",
	unix.AF_KEY: "KEY", unix.AF_TIPC: "TIPC", unix.AF_QIPCRTR: "QIPCRTR", unix.AF_RDS: "RDS", unix.AF_KCM: "KCM", unix.AF_SMC: "SMC",
}

func probeNetwork() map[string]any {
	return map[string]any{
		"families": probeFamilies(), "raw_socket": tryRaw(), "interfaces": probeInterfaces(), "routes": routes(),
		"connect_outside": tryConnect("192.0.2.1:443"), "connect_metadata": tryConnect("169.254.169.254:80"), "resolve": tryResolve(),
		"lowest_port": lowestPort(), "task_service": tryConnect(insideAddr),
	}
}

// lowestPort is from where on a program without rights may listen in this network namespace.
func lowestPort() string {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return outcome(err)
	}
	return strings.TrimSpace(string(b))
}

// probeFamilies answers, for each family, whether any kind of socket can be made.
func probeFamilies() map[string]string {
	out := map[string]string{}
	for f := 0; f <= 45; f++ {
		name, known := families[f]
		if !known {
			name = fmt.Sprintf("%02d", f)
		}
		out[name] = tryFamily(f)
	}
	return out
}

func tryFamily(family int) string {
	last := ""
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
			return "works"
		}
		if last == "" {
			last = outcome(err)
		}
	}
	return last
}

func tryRaw() string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err == nil {
		unix.Close(fd)
	}
	return outcome(err)
}

// probeInterfaces reads /proc/net/dev, because netlink should be refused.
func probeInterfaces() []string {
	b, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return []string{outcome(err)}
	}
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

// routes counts the IPv4 routes.
func routes() int {
	b, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return 0
	}
	return max(strings.Count(strings.TrimSpace(string(b)), "\n"), 0)
}

func tryConnect(address string) string {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err == nil {
		c.Close()
		return "works"
	}
	if strings.Contains(err.Error(), unix.ENETUNREACH.Error()) {
		return "ENETUNREACH"
	}
	return err.Error()
}

func tryResolve() string {
	if _, err := net.LookupHost("example.org"); err != nil {
		return "fails"
	}
	return "works"
}

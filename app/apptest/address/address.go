// Package address finds addresses for servers that a test ends and starts again in the
// same place.
//
// It promises an address on which nothing listens and which the kernel gives to nobody:
// one from its own range could go to any connection of this machine while the server is
// away. It never holds the address: two tests get the same one with a chance of 1 to
// ten thousand. Only tests import it.
package address

import (
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Free gives 127.0.0.1 with a port that is free.
func Free(t testing.TB) string {
	t.Helper()
	const from = 20000
	to := 32768 // where the kernel's own range begins by default
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if low, err := strconv.Atoi(strings.Fields(string(b))[0]); err == nil && low > from+1000 {
			to = low
		}
	}
	for range 1000 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(from+rand.IntN(to-from)))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port below the kernel's own")
	return ""
}

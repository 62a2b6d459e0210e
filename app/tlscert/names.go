package tlscert

import (
	"net"
	"net/url"
	"os"

	"tresor/app/config"
)

// candidates lists the names under which this machine may be asked for: what is
// configured, the loopback names and, when other machines can reach it, its own
// name and addresses.
func candidates(c config.Config) []string {
	out := append([]string{}, c.TLS.Domain...)
	if u, err := url.Parse(c.PublicURL()); err == nil {
		out = append(out, u.Hostname())
	}
	out = append(out, "localhost", "127.0.0.1", "::1")
	if c.Loopback() {
		return out
	}
	host, _, _ := net.SplitHostPort(c.Listen)
	out = append(out, host)
	if name, err := os.Hostname(); err == nil {
		out = append(out, name)
	}
	return append(out, machineAddresses(host)...)
}

// machineAddresses are those of all interfaces when all are listened on. Link-local
// ones are left out: they need a zone, which certificates cannot carry.
func machineAddresses(host string) []string {
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}

package gateway

import (
	"fmt"
	"net/netip"
	"strings"
)

// privateName reports whether a name says by itself that it is not public: then the
// operator who listed it meant it.
func privateName(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return !publicAddr(ip)
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, end := range []string{".internal", ".local", ".lan", ".intranet", ".home.arpa", ".localhost", ".test"} {
		if strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}

// publicOnly refuses to connect to an address of this host or its network: a name
// outside must not lead in.
func publicOnly(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !publicAddr(ap.Addr()) {
		return fmt.Errorf("%s is not a public address", ap.Addr())
	}
	return nil
}

var notPublic = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("fec0::/10")}

func publicAddr(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

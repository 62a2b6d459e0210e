package gateway

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"tresor/app/fault"
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

// only refuses to connect to other addresses than such: a name outside must not lead in.
func only(may func(netip.Addr) bool, address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !may(ap.Addr()) {
		return fmt.Errorf("%s is not a public address, as that of a source that was not added as private has to be", ap.Addr())
	}
	return nil
}

// notThisHost reports addresses of others, public or of the operator's own network. This
// host and its links stay closed: there is where clouds keep the secrets of machines.
func notThisHost(ip netip.Addr) bool {
	ip = ip.Unmap()
	return publicAddr(ip) || ip.IsPrivate() || shared.Contains(ip)
}

// shared is the network that providers put between themselves and their customers.
var shared = netip.MustParsePrefix("100.64.0.0/10")

var notPublic = []netip.Prefix{shared, netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96")}

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

// plainURL parses an address that means the same to everybody who reads it: no
// user, no fragment, no escaped slash or dot, a clean path, a host in small letters.
func plainURL(raw string) (*url.URL, error) {
	bad := fault.New("gateway.plainURL", fault.Invalid, "The address %s is not plain: write scheme, host and a clean path.", quoted(raw))
	if len(raw) > 2000 || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return nil, bad
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" || strings.Contains(raw, "#") || u.Hostname() == "" {
		return nil, bad
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	lower := strings.ToLower(u.EscapedPath())
	if strings.Contains(lower, "%2f") || strings.Contains(lower, "%2e") || strings.Contains(lower, "%5c") || strings.Contains(lower, "%00") {
		return nil, bad
	}
	if p := u.Path; p != "" {
		clean := path.Clean(p)
		if strings.HasSuffix(p, "/") && clean != "/" {
			clean += "/"
		}
		if clean != p {
			return nil, bad
		}
	}
	return u, nil
}

// covers reports whether an entry allows the address. Paths are compared as they are
// meant: "a+b" and "a%2Bb" are one name.
func (src Source) covers(u *url.URL) bool {
	p, err := plainURL(src.Prefix)
	if err != nil || p.Scheme != u.Scheme || p.Hostname() != u.Hostname() || port(p) != port(u) {
		return false
	}
	return strings.HasPrefix(u.Path, p.Path)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == SourceHTTPS {
		return "443"
	}
	return ""
}

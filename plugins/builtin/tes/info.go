package tes

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// info describes the service from its settings and the address it was asked at.
// Nothing in it changes from one request to the next.
func info(r protocol.Request) model.ServiceInfo {
	host, origin := whereabouts(base(r))
	s := r.Settings
	return model.ServiceInfo{
		ID:                id(host),
		Name:              or(s[keyService], "Tresor"),
		Type:              model.TES11,
		Description:       "A Trusted Research Environment. Tasks run without a network on approved images; what leaves is reviewed first, so a task stays RUNNING until its outputs are released.",
		Organization:      model.Organization{Name: or(s[keyOrg], host), URL: or(s[keyOrgURL], origin)},
		ContactURL:        s[keyContact],
		DocumentationURL:  or(s[keyDocs], origin+"/docs/pages/tes"),
		Version:           Version,
		BackendParameters: []string{wallTime},
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// whereabouts gives the server's name and its origin, as a URL.
func whereabouts(base string) (host, origin string) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "tes.local", "http://tes.local"
	}
	return u.Hostname(), u.Scheme + "://" + u.Host
}

// id is the server's name turned around, as the specification recommends.
func id(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "tresor.tes"
	}
	parts := strings.Split(strings.ToLower(host), ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, "tes"), ".")
}

package protocol

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The standard steps of a connection test, in the order in which a connection
// meets them. A plugin may have others beside them.
const (
	StepSettings    = "settings"
	StepDNS         = "dns"         // the name of the other side has an address
	StepProxy       = "proxy"       // the way out
	StepTLS         = "tls"         // the other side's certificate
	StepClock       = "clock"       // both sides' clocks
	StepCredentials = "credentials" // the other side knows us
	StepVersion     = "version"     // both speak the same protocol
	StepHost        = "host"        // the appliance answers the plugin
)

// MaxSkew is how far the other side's clock may be off.
const MaxSkew = 5 * time.Minute

// Steps collects the steps of a connection test. The zero value is empty. Each
// method adds one step and reports whether it is well, so that a test reads
// "if !s.Clock(...) { return s.List(), nil }".
type Steps struct{ list []Step }

// List returns the steps so far.
func (s *Steps) List() []Step { return s.list }

// OK adds a step that is well. detail is what was seen.
func (s *Steps) OK(name, detail string) bool {
	s.list = append(s.list, Step{Name: name, OK: true, Detail: detail})
	return true
}

// Fail adds a step that is not. next is what to do about it.
func (s *Steps) Fail(name, detail, next string) bool {
	s.list = append(s.list, Step{Name: name, Detail: detail, Next: next})
	return false
}

// Settings adds the step of CheckSettings.
func (s *Steps) Settings(d Description, v Settings) bool {
	if err := CheckSettings(d, v); err != nil {
		var e *Error
		errors.As(err, &e)
		return s.Fail(StepSettings, e.Text, "Correct the settings and test again.")
	}
	return s.OK(StepSettings, "The settings are complete.")
}

// Host adds the step of a call to the appliance.
func (s *Steps) Host(err error) bool {
	if err != nil {
		return s.Fail(StepHost, words(err), "Ask the operator which projects this plugin may use.")
	}
	return s.OK(StepHost, "The appliance answers.")
}

// Fetched adds the steps that a Host.Fetch of address tells: name, way out and
// certificate, as far as its error says which of them failed.
func (s *Steps) Fetched(address string, r Response, err error) bool {
	if err == nil && r.Status == http.StatusProxyAuthRequired {
		return s.Fail(StepProxy, "The proxy asks for a user and password.", "Enter them in the server's proxy setting.")
	}
	if err == nil {
		s.OK(StepDNS, "The name in "+address+" has an address.")
		s.OK(StepProxy, "The way out to it is open.")
		if strings.HasPrefix(address, "https:") {
			s.OK(StepTLS, "Its certificate is valid.")
		}
		return true
	}
	text := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("no such host", "lookup", "resolve"):
		return s.Fail(StepDNS, words(err), "Check the name in the address, and the server's name resolution.")
	case has("certificate", "x509", "tls"):
		return s.Fail(StepTLS, words(err), "Ask the other side for a valid certificate, or check that nothing on the way replaces it.")
	case has("allow", "source", string(CodeDenied)):
		return s.Fail(StepProxy, words(err), "Ask the operator to add this address to the allowed sources.")
	}
	return s.Fail(StepProxy, words(err), "Check the address, the server's proxy setting and the firewall.")
}

// Clock adds the step that compares the time in a response's Date header with now.
func (s *Steps) Clock(r Response, now time.Time) bool {
	date, err := http.ParseTime(http.Header(r.Header).Get("Date"))
	if err != nil {
		return s.OK(StepClock, "The other side does not tell its time.")
	}
	skew := now.Sub(date).Abs().Round(time.Second)
	if skew > MaxSkew {
		return s.Fail(StepClock, fmt.Sprintf("The two clocks differ by %s.", skew), "Set this server's clock by NTP; if it is right, tell the other side.")
	}
	return s.OK(StepClock, fmt.Sprintf("The two clocks differ by %s at most.", max(skew, time.Second)))
}

// Credentials adds the step that reads from a response's status whether the other side knows us.
func (s *Steps) Credentials(r Response) bool {
	switch r.Status {
	case http.StatusUnauthorized:
		return s.Fail(StepCredentials, "The other side does not know these credentials (401).", "Enter the user or token again, or ask the other side for a new one.")
	case http.StatusForbidden:
		return s.Fail(StepCredentials, "The other side knows these credentials and does not allow this (403).", "Ask the other side to give this account the right.")
	}
	if r.Status >= 400 {
		return s.Fail(StepCredentials, fmt.Sprintf("The other side answers %d (%s).", r.Status, http.StatusText(r.Status)), "Check the address; if it is right, ask the other side.")
	}
	return s.OK(StepCredentials, "The other side accepts these credentials.")
}

// Version adds the step that compares protocol versions.
func (s *Steps) Version(want, got string) bool {
	if got != want {
		return s.Fail(StepVersion, fmt.Sprintf("This plugin speaks %s, the other side %q.", want, clip(got)), "Use a plugin for the other side's version.")
	}
	return s.OK(StepVersion, "Both sides speak "+want+".")
}

// words are an error's words for people; one that is not of the vocabulary was not
// written for them.
func words(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Text
	}
	return "The call failed; the log of the server has the cause."
}

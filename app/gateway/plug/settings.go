package plug

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tresor/app/fault"
	"tresor/plugins/protocol"
)

// maxValue bounds one setting, in bytes.
const maxValue = 8 << 10

// values are the settings as the plugin gets them: defaults, values, secrets.
// Callers do not change them.
func (s *Service) values(e *entry) (protocol.Settings, error) {
	s.mu.Lock()
	set, r := e.set, e.row
	s.mu.Unlock()
	if set != nil {
		return set, nil
	}
	set, err := s.assemble(r)
	if err == nil {
		s.mu.Lock()
		e.set = set
		s.mu.Unlock()
	}
	return set, err
}

func (s *Service) assemble(r row) (protocol.Settings, error) {
	out := protocol.Settings{}
	for _, f := range r.Description.Settings {
		if f.Default != "" {
			out[f.Key] = f.Default
		}
	}
	for k, v := range r.Settings {
		out[k] = v
	}
	secrets, err := s.secrets(r)
	for k, v := range secrets {
		out[k] = v
	}
	return out, err
}

func (s *Service) secrets(r row) (map[string]string, error) {
	if len(r.Secrets) == 0 {
		return nil, nil
	}
	plain, err := s.seal.Open("plugin/"+r.Name, r.Secrets)
	if err != nil {
		return nil, err
	}
	var out map[string]string
	return out, json.Unmarshal(plain, &out)
}

// put checks values against the plugin's schema and gives the row with them. A
// secret that comes empty stays as it was; a key that does not come is dropped.
func (s *Service) put(r row, values map[string]string) (row, error) {
	const op = "plug.SetSettings"
	old, err := s.secrets(r)
	if err != nil {
		old = nil // sealed with a lost key: everything has to be entered again
	}
	fields := map[string]protocol.Setting{}
	for _, f := range r.Description.Settings {
		fields[f.Key] = f
	}
	open, secret := map[string]string{}, map[string]string{}
	for k, v := range values {
		f, ok := fields[k]
		if !ok {
			return r, fault.New(op, fault.Invalid, "The plugin %s has no setting %q.", r.Name, clip(k))
		}
		if f.Kind == "secret" {
			if v == "" {
				v = old[k]
			}
			if v != "" {
				secret[k] = v
			}
			continue
		}
		if v = strings.TrimSpace(v); v != "" {
			open[k] = v
		}
	}
	for _, f := range r.Description.Settings {
		v := open[f.Key] + secret[f.Key]
		if err := checkValue(op, f, v); err != nil {
			return r, err
		}
	}
	r.Settings, r.Secrets = open, nil
	if len(secret) > 0 {
		b, err := json.Marshal(secret)
		if err != nil {
			return r, fault.Wrap(op, err)
		}
		r.Secrets = s.seal.Seal("plugin/"+r.Name, b)
	}
	return r, nil
}

// checkValue refuses a value that does not fit its field. It never repeats a secret.
func checkValue(op string, f protocol.Setting, v string) error {
	label := f.Label
	if label == "" {
		label = f.Key
	}
	if v == "" {
		if f.Required && f.Default == "" {
			return fault.New(op, fault.Invalid, "%s is missing.", label)
		}
		return nil
	}
	if len(v) > maxValue || strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' }) {
		return fault.New(op, fault.Invalid, "%s is longer than %d bytes or holds control characters.", label, maxValue)
	}
	switch f.Kind {
	case "url":
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
			return fault.New(op, fault.Invalid, "%s is not an address such as https://example.org/path. Names and passwords do not belong into it.", label)
		}
	case "number":
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return fault.New(op, fault.Invalid, "%s is not a number.", label)
		}
	case "choice":
		if !slices.Contains(f.Choices, v) {
			return fault.New(op, fault.Invalid, "%s is none of %s.", label, strings.Join(f.Choices, ", "))
		}
	case "switch":
		if v != "true" && v != "false" {
			return fault.New(op, fault.Invalid, "%s is true or false.", label)
		}
	}
	return nil
}

package plug

import (
	"encoding/json"
	"maps"
	"strings"

	"tresor/app/fault"
	"tresor/plugins/protocol"
)

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
	secrets, err := s.secrets(r)
	out := protocol.Settings{}
	maps.Copy(out, r.Settings)
	maps.Copy(out, secrets)
	return protocol.Filled(r.Description, out), err
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
	all := protocol.Settings{}
	maps.Copy(all, open)
	maps.Copy(all, secret)
	if err := protocol.CheckSettings(r.Description, all); err != nil {
		return r, fault.Kinded(op, fault.Invalid, err, "%s", reason(err))
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

package plug

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)

// Trust takes a program file into the appliance as it is now: the file is copied,
// hashed and asked what it is. It is not enabled. A plugin of the same name from
// outside is replaced. sum is the SHA-256 (hex) that the operator agreed to. Only on
// the server itself. Errors: Denied, Invalid with what is wrong with the file,
// Conflict when it has another hash or the name of a built-in plugin.
func (s *Service) Trust(ctx context.Context, actor access.Actor, path, sum string) (Plugin, error) {
	const op = "plug.Trust"
	if err := access.May(actor, access.PluginTrust, access.Thing{}); err != nil {
		return Plugin{}, err
	}
	if actor.Via == "web" {
		return Plugin{}, fault.WithNext(fault.New(op, fault.Denied, "A plugin file is trusted on the server itself."), "Run `tresor plugin trust FILE` there.")
	}
	if !filepath.IsAbs(path) {
		return Plugin{}, fault.New(op, fault.Invalid, "Name the file with its whole path, from / on.")
	}
	path = filepath.Clean(path)
	found, _, err := host.Fingerprint(path)
	if err != nil {
		return Plugin{}, fault.Kinded(op, fault.Invalid, err, "The file is not taken. %s", reason(err))
	}
	if sum = strings.ToLower(strings.TrimSpace(sum)); sum != found {
		return Plugin{}, fault.WithNext(fault.New(op, fault.Conflict, "The file %s has another SHA-256 (%s) than the one you agreed to.", path, found),
			"Compare it with what its maker published.")
	}
	s.change.Lock()
	defer s.change.Unlock()
	d, err := s.ask(ctx, path, sum)
	if err != nil {
		return Plugin{}, err
	}
	return s.admit(ctx, op, actor, path, sum, d)
}

// ask starts the file once to hear what it is.
func (s *Service) ask(ctx context.Context, path, sum string) (protocol.Description, error) {
	const op = "plug.Trust"
	e := &entry{row: row{Name: "candidate", Path: path, SHA256: sum}}
	ctx, cancel := context.WithTimeout(ctx, testWait)
	defer cancel()
	proc, err := s.launch(ctx, e)
	if err != nil {
		return protocol.Description{}, fault.Kinded(op, fault.Invalid, err, "The file is not taken. %s", reason(err))
	}
	defer proc.Stop()
	if err := up(ctx, proc); err != nil {
		return protocol.Description{}, fault.WithNext(fault.Kinded(op, fault.Invalid, err, "The file starts, but does not answer as a plugin of this contract (version %d). %s", protocol.Version, proc.State().LastError),
			"Build it against this version of the contract.")
	}
	d := proc.State().Description
	if err := protocol.CheckDescription(d); err != nil {
		return d, fault.Kinded(op, fault.Invalid, err, "The plugin describes itself wrongly: %v.", err)
	}
	if !nameForm.MatchString(d.Name) || d.Name == "candidate" {
		return d, fault.New(op, fault.Invalid, "The plugin calls itself %q. A name has 2 to 40 lower-case letters, digits and hyphens.", clip(d.Name))
	}
	return d, nil
}

// up waits until the process is up or has failed once.
func up(ctx context.Context, proc *host.Plugin) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if st := proc.State(); !st.Running && st.LastError != "" {
				cancel()
			}
			<-tick.C
		}
	}()
	_, err := proc.Adapter(ctx)
	return err
}

func (s *Service) admit(ctx context.Context, op string, actor access.Actor, path, sum string, d protocol.Description) (Plugin, error) {
	s.mu.Lock()
	old := s.entries[d.Name]
	s.mu.Unlock()
	if old != nil && old.builtin != nil {
		return Plugin{}, fault.New(op, fault.Conflict, "%s is the name of a plugin inside this program.", d.Name)
	}
	if old != nil && s.rowOf(old).Path != path {
		return Plugin{}, fault.WithNext(fault.New(op, fault.Conflict, "A plugin called %s is trusted from %s. Another file does not get its settings and secrets.", d.Name, s.rowOf(old).Path),
			"Forget that one first, or put the new file in its place.")
	}
	r := row{Name: d.Name, Path: path, SHA256: sum, Description: d, TrustedBy: actor.ID}
	if old != nil {
		r.Settings, r.Secrets, r.Principal, r.Enabled = old.row.Settings, old.row.Secrets, old.row.Principal, old.row.Enabled
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		r.TrustedAt = tx.Now()
		if err := r.write(tx); err != nil {
			return err
		}
		return s.note(tx, actor, "plugin.trusted", d.Name, "sha256", sum, "version", clip(d.Version))
	})
	if err != nil {
		return Plugin{}, fault.Wrap(op, err)
	}
	s.stop(d.Name)
	s.mu.Lock()
	if old == nil {
		old = &entry{}
		s.entries[d.Name] = old
	}
	old.row, old.set = r, nil
	s.mu.Unlock()
	s.start(d.Name)
	s.changed()
	return s.found(op, d.Name)
}

// Forget removes a plugin from outside with its settings. Errors: Denied,
// NotFound, Conflict for a built-in plugin.
func (s *Service) Forget(ctx context.Context, actor access.Actor, name, reason string) error {
	const op = "plug.Forget"
	if err := access.May(actor, access.PluginTrust, access.Thing{}); err != nil {
		return err
	}
	reason, err := audit.Reason(op, reason)
	if err != nil {
		return err
	}
	s.change.Lock()
	defer s.change.Unlock()
	p, err := s.found(op, name)
	if err != nil {
		return err
	}
	if p.Builtin {
		return fault.WithNext(fault.New(op, fault.Conflict, "The plugin %s is part of this program.", name), "Disable it instead.")
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM plugin WHERE name = ?`, name); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, audit.By(actor, "plugin.removed", Subject(name), "", "sha256", p.SHA256).Because(reason))
		return err
	})
	if err != nil {
		return fault.Wrap(op, err)
	}
	s.stop(name)
	s.mu.Lock()
	delete(s.entries, name)
	s.mu.Unlock()
	_ = os.RemoveAll(filepath.Join(s.Dir, "run", name)) // empty by now; the next start clears what stays
	s.changed()
	return nil
}

package link

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/wire"
)

// enrolWait bounds one attempt to enrol.
const enrolWait = 30 * time.Second

// Code is a one-time code to be typed at the other end.
type Code struct {
	Code      string    `json:"code"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Code makes a one-time code to be typed at a hub; then Enrol is called with it.
// name is what the hub is to be called here, and may be empty. Errors: Denied, Invalid.
func (s *Service) Code(ctx context.Context, actor access.Actor, name string) (Code, error) {
	const op = "link.Code"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return Code{}, err
	}
	c, err := s.book.NewCode(by(ctx, actor), "", name)
	if err != nil {
		return Code{}, refused(op, err)
	}
	return Code{Code: c.Text(), ExpiresAt: c.Expires}, nil
}

// Enrol brings a code to the hub at an address, whichever end made it, and gives
// the id of the new principal. The hub can do nothing before Confirm. name is what
// the hub is called here; empty: as it calls itself. Errors: Denied, Invalid,
// Conflict, Unavailable with what stood in the way.
func (s *Service) Enrol(ctx context.Context, actor access.Actor, address, code, name string) (string, error) {
	const op = "link.Enrol"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return "", err
	}
	dial, err := s.address(op, address)
	if err != nil {
		return "", err
	}
	s.enrol.Lock()
	defer s.enrol.Unlock()
	ctx, cancel := context.WithTimeout(by(ctx, actor), enrolWait)
	defer cancel()
	c, err := s.book.UseCode(ctx, code, dial, strings.TrimSpace(name))
	if err != nil {
		return "", refused(op, err)
	}
	peer, err := s.node.Enrol(ctx, c, s.Name)
	if err != nil {
		return "", refused(op, err)
	}
	if err := s.read(ctx); err != nil {
		return "", fault.Wrap(op, err)
	}
	s.mu.Lock()
	h := s.hubs[peer.ID]
	s.mu.Unlock()
	if err := s.adopt(ctx, actor, h); err != nil {
		return "", fault.Wrap(op, err)
	}
	s.Changed()
	return h.principal.Load().ID, nil
}

// Confirm says that a person has compared the words with the hub's operator: from
// now on the hub may do what it is allowed. Errors: Denied, NotFound, Conflict for
// a hub that was revoked.
func (s *Service) Confirm(ctx context.Context, actor access.Actor, principal string) error {
	const op = "link.Confirm"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return err
	}
	h, err := s.byPrincipal(op, principal)
	if err != nil {
		return err
	}
	if peer, ok := s.book.Peer(h.peer); !ok || !peer.Revoked.IsZero() {
		return fault.New(op, fault.Conflict, "This hub was revoked. It has to be enrolled again with a new key.")
	}
	if h.confirmed.Load() != 0 {
		return nil
	}
	var at int64
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		at = store.Millis(tx.Now())
		if _, err := tx.Exec(`UPDATE link_hub SET confirmed_by = ?, confirmed_at = ? WHERE peer = ? AND confirmed_at IS NULL`, actor.ID, at, string(h.peer)); err != nil {
			return err
		}
		return peers{s}.note(tx, "hub.confirmed", Subject(h.peer), "principal", h.principal.Load().ID)
	})
	if err != nil {
		return fault.Wrap(op, err)
	}
	h.confirmed.Store(at)
	return nil
}

// address makes what people type the address that a link dials.
func (s *Service) address(op, typed string) (string, error) {
	invalid := func(text string) error {
		return fault.WithNext(fault.New(op, fault.Invalid, "%s", text), "Ask the hub's operator for its address; it looks like https://hub.example.org.")
	}
	typed = strings.TrimSpace(typed)
	if typed != "" && !strings.Contains(typed, "://") {
		typed = "https://" + typed
	}
	u, err := url.Parse(typed)
	if err != nil || u.Host == "" || len(typed) > 500 || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", invalid("This is not the address of a hub.")
	}
	switch u.Scheme {
	case "https", "wss":
		u.Scheme = "wss"
	case "http", "ws":
		if !s.Plain || !loopback(u.Hostname()) {
			return "", invalid("A hub's address begins with https://.")
		}
		u.Scheme = "ws"
	default:
		return "", invalid("A hub's address begins with https://.")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = wire.LinkPath
	}
	return u.String(), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// refused makes an error of the federation one for people.
func refused(op string, err error) error {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		var f *fault.Error
		if errors.As(err, &f) {
			return fault.Wrap(op, err)
		}
		return fault.WithNext(fault.Kinded(op, fault.Unavailable, err, "The hub could not be reached."), "%s", nextOf("", true))
	}
	kind := fault.Conflict
	switch r.Code {
	case wire.CodeMalformed, wire.CodeSize:
		kind = fault.Invalid
	case wire.CodeOffline, wire.CodeBusy, wire.CodeNoCode, wire.CodeTime, wire.CodeInternal:
		kind = fault.Unavailable
	}
	return fault.WithNext(fault.Kinded(op, kind, err, "%s.", sentence(r.Text)), "%s", nextOf(r.Code, false))
}

// sentence begins a refusal's text with a capital letter.
func sentence(s string) string {
	s = strings.TrimRight(s, ".")
	if s == "" {
		return "It was refused"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// nextOf is the next step after a refusal or a failed dial.
func nextOf(code wire.Code, dial bool) string {
	switch code {
	case wire.CodeTime:
		return "Set this machine's clock with a time service (NTP)."
	case wire.CodeNoCode:
		return "Have the code typed at the hub first, then try again."
	case wire.CodeCodeUsed, wire.CodeCodeExpired:
		return "Ask for a new code."
	case wire.CodeSignature, wire.CodeHost:
		return "Do not go on: call the hub's operator and compare addresses and words."
	case wire.CodeUnknown, wire.CodeKeyExpired:
		return "The hub does not know this appliance's key. Enrol again with a new code."
	case wire.CodeRevoked:
		return "Ask the hub's operator why; then enrol again."
	case wire.CodeVersion:
		return "Update this program, or ask the hub's operator to update theirs."
	case wire.CodePaused:
		return "Resume the hub when its work is to go on."
	case wire.CodeMalformed:
		return "Check what was typed."
	}
	if dial {
		return "Test the connection: it shows how far it comes."
	}
	return "It is tried again by itself; test the connection if it stays."
}

package identity

import (
	"context"
	"strconv"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// LocalOperator is the actor behind the administration socket: an account of the
// host that may do what an operator may, and nothing with data. Its id,
// "local:<uid>", is no person.
func LocalOperator(uid int) access.Actor {
	id := "local:" + strconv.Itoa(uid)
	return access.Actor{ID: id, Handle: "local", Name: "Local operator (uid " + strconv.Itoa(uid) + ")",
		Roles: []access.Role{access.Operator}, Projects: map[string]access.Role{}, Session: id, Via: "local"}
}

// ActFor returns the actor for the person whom a local operator acts for. Every
// audit event then names the person, the door "local" and the host account as
// session. Nobody acts for an output checker, whose judgement has to be their
// own; only a demo allows it. Errors: Denied, NotFound, Conflict.
func (s *Service) ActFor(ctx context.Context, local access.Actor, handle string) (actor access.Actor, err error) {
	const op = "identity.ActFor"
	if local.Via != "local" {
		return actor, fault.New(op, fault.Denied, "Only the administration socket on the server acts for others.")
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p, err := LookupHandle(tx, handle)
		if err != nil {
			return err
		}
		if err := s.mayActFor(p); err != nil {
			return err
		}
		actor, err = s.actor(tx, p, "local", local.Session)
		return err
	})
	return actor, fault.Wrap(op, err)
}

func (s *Service) mayActFor(p Person) error {
	const op = "identity.ActFor"
	if p.Disabled {
		return fault.New(op, fault.Conflict, "%s is disabled.", p.Name)
	}
	if !s.Demo && (access.Actor{Roles: p.Roles}).Has(access.Checker) {
		return fault.New(op, fault.Denied, "Nobody acts for an output checker. %s has to sign in and decide in person.", p.Name)
	}
	return nil
}

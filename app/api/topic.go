package api

import (
	"context"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
)

// topic is a live topic together with the question whether this caller may still
// listen to it: the same question that reading the thing itself asks.
type topic struct {
	name  string
	check func(context.Context) error
}

// topic reads and checks the parameter of the web socket.
func (s *Server) topic(c *call) (topic, error) {
	name := c.query("topic")
	may, canonical, err := s.mayListen(name)
	if err != nil {
		return topic{}, err
	}
	who := c.who
	t := topic{name: name, check: func(ctx context.Context) error {
		actor, err := s.stillHere(ctx, who)
		if err != nil {
			return err
		}
		return may(ctx, actor)
	}}
	if err := may(c.ctx(), c.actor()); err != nil {
		return topic{}, err
	}
	t.name = canonical
	return t, nil
}

type mayFunc func(context.Context, access.Actor) error

// mayListen returns what has to hold for an actor to hear a topic.
func (s *Server) mayListen(name string) (mayFunc, string, error) {
	kind, id, _ := strings.Cut(name, ":")
	if s.Hub != nil {
		return hubTopic(kind)
	}
	switch kind {
	case "home":
		return rights(access.HomeRead), "home", nil
	case "system":
		return rights(access.SystemRead), "system", nil
	case "federation":
		return anywhere(access.FederationRead), "federation", nil
	case "image":
		return rights(access.ImageImport), "image", nil
	case "job":
		return func(ctx context.Context, a access.Actor) error { _, err := s.Jobs.Get(ctx, a, id); return err }, name, nil
	case "airlock":
		return func(ctx context.Context, a access.Actor) error { _, err := s.Airlock.Get(ctx, a, id); return err }, name, nil
	case "dataset":
		return func(ctx context.Context, a access.Actor) error { _, err := s.Datasets.Get(ctx, a, id); return err }, name, nil
	}
	return nil, "", fault.WithNext(fault.New("api.topic", fault.Invalid, "There is no such topic."),
		"Topics are home, system, federation, image, job:<id>, airlock:<id> and dataset:<id>.")
}

// hubTopic is mayListen for a hub, where there are no jobs and no data to hear of.
func hubTopic(name string) (mayFunc, string, error) {
	switch name {
	case "home":
		return rights(access.HomeRead), name, nil
	case "hub":
		return rights(access.HubRead), name, nil
	case "system":
		return rights(access.SystemRead), name, nil
	}
	return nil, "", fault.WithNext(fault.New("api.topic", fault.Invalid, "There is no such topic on a hub."), "Topics are home, hub and system.")
}

// anywhere is for a topic that carries no thing: whoever hears of a change reads
// the list again, which shows each only what they may see.
func anywhere(action access.Action) mayFunc {
	return func(_ context.Context, a access.Actor) error { return anyOf(a, []access.Action{action}) }
}

func rights(action access.Action) mayFunc {
	return func(_ context.Context, a access.Actor) error { return access.May(a, action, access.Thing{}) }
}

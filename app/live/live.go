// Package live tells open browsers that something changed. It is an in-process
// hub of topics: nothing is kept, nothing waits. A reader that does not keep up
// is dropped, its channel closed, and it is expected to reconnect and fetch the
// present state anew; so a lost event is never a lost fact. It never blocks the
// publisher, and a crash leaves nothing.
package live

import (
	"sync"
	"time"
)

// Event is one piece of news, as a web socket sends it.
type Event struct {
	Type string    `json:"type"`
	At   time.Time `json:"at"`
	Data any       `json:"data,omitempty"` // must not be changed after Publish
}

// Hub distributes events by topic. Its methods may be used from any goroutine.
type Hub struct {
	mu     sync.Mutex
	topics map[string]map[*reader]struct{} // guarded by mu; no empty sets
}

// reader is one subscription; its channel is closed under Hub.mu, exactly once,
// when it leaves the hub.
type reader struct{ ch chan Event }

// New returns an empty hub.
func New() *Hub { return &Hub{topics: map[string]map[*reader]struct{}{}} }

// Publish hands e to every reader of topic without waiting. A reader whose
// buffer is full is dropped: its channel is closed.
func (h *Hub) Publish(topic string, e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.topics[topic] {
		select {
		case r.ch <- e:
		default:
			h.drop(topic, r)
		}
	}
}

// Subscribe returns a channel of the topic's events from now on, with room for
// buffer of them (at least one), and a function that ends the subscription and
// closes the channel. A channel closed without that call means: too slow.
func (h *Hub) Subscribe(topic string, buffer int) (<-chan Event, func()) {
	r := &reader{ch: make(chan Event, max(buffer, 1))}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[topic] == nil {
		h.topics[topic] = map[*reader]struct{}{}
	}
	h.topics[topic][r] = struct{}{}
	return r.ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.drop(topic, r)
	}
}

// drop removes r and closes its channel, once; the caller holds mu.
func (h *Hub) drop(topic string, r *reader) {
	readers := h.topics[topic]
	if _, ok := readers[r]; !ok {
		return
	}
	delete(readers, r)
	close(r.ch)
	if len(readers) == 0 {
		delete(h.topics, topic)
	}
}

// Readers returns how many subscriptions topic has, for the system page.
func (h *Hub) Readers(topic string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics[topic])
}

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tresor/app/fault"
	"tresor/app/live"
)

// A socket costs two goroutines and small buffers: write buffers are lent from a
// pool while a message is on its way. Browsers say nothing but pongs.
const (
	socketRead   = 1024             // most bytes of a message from the browser
	socketWrite  = 10 * time.Second // a message has to be taken within
	socketPing   = 20 * time.Second // also how often session and topic are asked again
	socketQuiet  = 50 * time.Second // no pong for this long: gone
	socketBuffer = 64               // events that wait for a slow reader before it is dropped
)

var upgrader = websocket.Upgrader{
	HandshakeTimeout: 10 * time.Second,
	ReadBufferSize:   512,
	WriteBufferSize:  2048,
	WriteBufferPool:  &sync.Pool{},
	CheckOrigin:      func(*http.Request) bool { return true }, // checkOrigin has decided, stricter
	Error:            func(http.ResponseWriter, *http.Request, int, error) {},
}

// pump is one open web socket: a reader that only minds pongs and the end, and
// run's goroutine, the only writer.
type pump struct {
	s      *Server
	conn   *websocket.Conn
	events <-chan live.Event
	check  func(context.Context) error
}

// live upgrades the request and leaves a pump behind that sends events of one
// topic until either end is over. The handler itself returns, so that the request
// with its buffers is not kept for as long as the socket lives.
func (s *Server) live(c *call) error {
	if !websocket.IsWebSocketUpgrade(c.r) {
		return refuse(http.StatusUpgradeRequired, "upgrade-required", fault.Invalid, "This address is a web socket.").next("Open it with a WebSocket client.")
	}
	topic, err := s.topic(c)
	if err != nil {
		return err
	}
	ctx, leave, err := s.sockets.enter(context.WithoutCancel(c.ctx()), c.who)
	if err != nil {
		return err
	}
	events, unsubscribe := s.Live.Subscribe(topic.name, socketBuffer)
	done := func() { unsubscribe(); leave() }
	conn, err := upgrader.Upgrade(c.w, c.r, nil)
	if err != nil {
		done()
		return fault.Kinded("api.live", fault.Invalid, err, "The web socket could not be opened.")
	}
	p := &pump{s: s, conn: conn, events: events, check: topic.check}
	go func() { defer done(); p.run(ctx) }()
	return nil
}

// run returns when the browser left, was too slow, or may no longer listen.
func (p *pump) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var reader sync.WaitGroup
	reader.Go(func() { defer cancel(); p.read() })
	code, why := p.write(ctx)
	_ = p.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), p.s.now().Add(time.Second)) // it may be gone
	p.conn.Close()
	reader.Wait()
}

func (p *pump) read() {
	p.conn.SetReadLimit(socketRead)
	_ = p.conn.SetReadDeadline(p.s.now().Add(socketQuiet))
	p.conn.SetPongHandler(func(string) error { return p.conn.SetReadDeadline(p.s.now().Add(socketQuiet)) })
	for {
		if _, _, err := p.conn.NextReader(); err != nil {
			return
		}
	}
}

func (p *pump) write(ctx context.Context) (int, string) {
	ping := time.NewTicker(p.s.pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return websocket.CloseGoingAway, "the session or the server has ended"
		case <-ping.C:
			if err := p.check(ctx); err != nil {
				return websocket.ClosePolicyViolation, "no longer allowed"
			}
			if p.conn.WriteControl(websocket.PingMessage, nil, p.s.now().Add(socketWrite)) != nil {
				return websocket.CloseAbnormalClosure, ""
			}
		case e, ok := <-p.events:
			if !ok {
				return websocket.CloseTryAgainLater, "too slow"
			}
			if p.send(e) != nil {
				return websocket.CloseAbnormalClosure, ""
			}
		}
	}
}

func (p *pump) send(e live.Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_ = p.conn.SetWriteDeadline(p.s.now().Add(socketWrite))
	return p.conn.WriteMessage(websocket.TextMessage, b)
}

// sockets knows the open web sockets, to bound them by person and to end them
// with their session.
type sockets struct {
	mu      sync.Mutex
	most    int
	closed  bool
	next    uint64
	all     map[uint64]openSocket // guarded by mu
	persons map[string]int        // guarded by mu
	tokens  map[string]string     // session -> its token now, while it has sockets and the token changed; guarded by mu
}

type openSocket struct {
	session, person string
	cancel          context.CancelFunc
}

func newSockets(most int) *sockets {
	return &sockets{most: most, all: map[uint64]openSocket{}, persons: map[string]int{}, tokens: map[string]string{}}
}

// enter registers a socket; its context ends with the session or the server.
func (k *sockets) enter(ctx context.Context, who caller) (context.Context, func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	person := who.actor.ID
	if k.closed {
		return nil, nil, fault.New("api.live", fault.Unavailable, "The server is stopping.")
	}
	if k.persons[person] >= k.most {
		r := refuse(http.StatusTooManyRequests, codeRate, fault.Exhausted, "You have %d live pages open, which is the most.", k.most).next("Close some of them.")
		r.retry = 10 * time.Second
		return nil, nil, r
	}
	ctx, cancel := context.WithCancel(ctx)
	k.next++
	id := k.next
	k.all[id] = openSocket{session: who.session, person: person, cancel: cancel}
	k.persons[person]++
	return ctx, func() { k.leave(id) }, nil
}

func (k *sockets) leave(id uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o, ok := k.all[id]
	if !ok {
		return
	}
	o.cancel()
	delete(k.all, id)
	if k.persons[o.person]--; k.persons[o.person] == 0 {
		delete(k.persons, o.person)
	}
	if !k.has(o.session) {
		delete(k.tokens, o.session)
	}
}

// has reports whether a session has open sockets; the caller holds mu.
func (k *sockets) has(session string) bool {
	for _, o := range k.all {
		if o.session == session {
			return true
		}
	}
	return false
}

// rotate notes that a session has a new token, so that its open sockets are not
// taken for those of an ended one.
func (k *sockets) rotate(session, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.has(session) {
		k.tokens[session] = token
	}
}

// tokenOf returns the newest token of a session; old when it has not changed.
func (k *sockets) tokenOf(session, old string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if token := k.tokens[session]; token != "" {
		return token
	}
	return old
}

func (k *sockets) closeSession(session string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range k.all {
		if o.session == session {
			o.cancel()
		}
	}
}

func (k *sockets) closeAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for _, o := range k.all {
		o.cancel()
	}
}

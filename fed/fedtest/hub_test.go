package fedtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// turn makes a hub that a node knows a hostile one that holds the good key: on
// every connection it shakes hands and attacks.
func turn(t *testing.T, h *Hub, attack func(ws *websocket.Conn)) *atomic.Int64 {
	t.Helper()
	var attacks atomic.Int64
	up := websocket.Upgrader{Subprotocols: []string{link.Protocol}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		ws.WriteMessage(websocket.TextMessage, wire.NewChallenge(wire.KeyOf(h.Key), wire.Nonce{byte(attacks.Load())}, time.Now()).Encode())
		_, data, err := ws.ReadMessage()
		if err != nil {
			return
		}
		hello, _ := wire.DecodeHello(data)
		ws.WriteMessage(websocket.TextMessage, wire.NewWelcome(hello, h.Key, time.Now(), nil).Encode())
		go func() {
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		}()
		attack(ws)
		attacks.Add(1)
	}))
	t.Cleanup(srv.Close)
	h.Relay.Target("ws" + strings.TrimPrefix(srv.URL, "http"))
	h.Relay.Cut()
	return &attacks
}

// TestAHostileHubDoesNotDisturbAnother: while one hub does its worst, again and
// again, an honest one is served as if it were not there.
func TestAHostileHubDoesNotDisturbAnother(t *testing.T) {
	send := func(ws *websocket.Conn, b []byte) bool {
		ws.SetWriteDeadline(time.Now().Add(time.Second))
		return ws.WriteMessage(websocket.BinaryMessage, b) == nil
	}
	half := "GET / HTTP/1.1\r\nHost: x\r\n"
	open := func(i uint32, text string, flags uint16) []byte {
		return append(frame(0, 1|flags, i, uint32(len(text))), text...)
	}
	for name, attack := range map[string]func(ws *websocket.Conn){
		"opens 10,000 streams": func(ws *websocket.Conn) {
			for i := uint32(1); i < 20000 && send(ws, frame(1, 1, i, 0)); i += 2 {
			}
		},
		"half-closes": func(ws *websocket.Conn) { // FIN after half a request
			for i := uint32(1); i < 400 && send(ws, open(i, half, 4)); i += 2 {
			}
			time.Sleep(100 * time.Millisecond)
		},
		"opens and says nothing": func(ws *websocket.Conn) {
			for i := uint32(1); i < 400 && send(ws, open(i, half, 0)); i += 2 {
			}
			time.Sleep(100 * time.Millisecond)
		},
		"resets": func(ws *websocket.Conn) {
			for i := uint32(1); i < 400 && send(ws, open(i, half, 8)); i += 2 {
			}
		},
		"floods one stream": func(ws *websocket.Conn) {
			big := append(frame(0, 1, 1, window), bytes.Repeat([]byte("a"), window)...)
			for send(ws, big) {
				big[2], big[3] = 0, 0
			}
		},
		"sends noise": func(ws *websocket.Conn) {
			b := make([]byte, 4096)
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			send(ws, b)
			time.Sleep(20 * time.Millisecond)
		},
		"sends names of 1 MB": func(ws *websocket.Conn) {
			path := "GET /" + strings.Repeat("n", 1<<20)
			send(ws, open(1, path[:200<<10], 0))
			for i := 1; i < 5 && send(ws, append(frame(0, 0, 1, 200<<10), path[i*(200<<10):(i+1)*(200<<10)]...)); i++ {
			}
			time.Sleep(50 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			NoLeaks(t)
			var c tally
			good, bad := StartHub(t, link.Limits{}), StartHub(t, link.Limits{})
			n := NewNode(t, link.Limits{})
			bad.Enrol(t, n, "Victim")
			badID := n.Hub
			good.Enrol(t, n, "Victim")
			attacks := turn(t, bad, attack)
			for _, id := range []wire.KeyID{badID, n.Hub} {
				if err := n.Connect(id, node.Door{Routes: http.HandlerFunc(ok), Execute: c.execute}); err != nil {
					t.Fatal(err)
				}
			}
			good.Online(t, n.ID)
			for i := 0; i < 40 || attacks.Load() < 2 && i < 4000; i++ {
				began := time.Now()
				if _, body, err := get(good, n.ID, "/"); err != nil || body != "ok" {
					t.Fatalf("request %d of the honest hub: %q %v", i, body, err)
				}
				e, err := good.Issue(ctx5(t), n.ID, hub.Order{ID: fmt.Sprint("honest-", i), Kind: "k"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := good.Send(ctx5(t), e); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("request %d of the honest hub took %v", i, d)
				}
				time.Sleep(2 * time.Millisecond)
			}
			if attacks.Load() == 0 && name != "floods one stream" {
				t.Error("no attack took place")
			}
		})
	}
}

const window = 256 << 10

func TestAHubThatLiesAboutItself(t *testing.T) {
	big := strings.Repeat("n", 1<<20)
	up := websocket.Upgrader{Subprotocols: []string{link.Protocol}}
	key := NewKey(t)
	for name, c := range map[string]struct {
		first func() []byte
		next  func(e wire.Enrol, code wire.Secret) []byte
		code  wire.Code
	}{
		"clock ahead": {first: func() []byte {
			return wire.NewChallenge(wire.KeyOf(key), wire.Nonce{1}, time.Now().Add(6*time.Minute)).Encode()
		}, code: wire.CodeTime},
		"clock behind": {first: func() []byte {
			return wire.NewChallenge(wire.KeyOf(key), wire.Nonce{1}, time.Now().Add(-6*time.Minute)).Encode()
		}, code: wire.CodeTime},
		"clock of year 9999": {first: func() []byte {
			return wire.NewChallenge(wire.KeyOf(key), wire.Nonce{1}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)).Encode()
		}, code: wire.CodeTime},
		"first word of 1 MB":  {first: func() []byte { return []byte(big) }, code: wire.CodeSize},
		"first word is noise": {first: func() []byte { return []byte("\xff\xfe") }, code: wire.CodeMalformed},
		"name of 1 MB":        {next: func(e wire.Enrol, s wire.Secret) []byte { return wire.NewEnrolled(e, big, s, key, time.Now()).Encode() }, code: wire.CodeSize},
		"name over the limit": {next: func(e wire.Enrol, s wire.Secret) []byte {
			return wire.NewEnrolled(e, big[:wire.MaxName+1], s, key, time.Now()).Encode()
		}, code: wire.CodeMalformed},
		"name with two lines": {next: func(e wire.Enrol, s wire.Secret) []byte {
			return wire.NewEnrolled(e, "a\nb", s, key, time.Now()).Encode()
		}, code: wire.CodeMalformed},
		"answer of another key": {next: func(e wire.Enrol, s wire.Secret) []byte {
			return wire.NewEnrolled(e, "Hub", s, NewKey(t), time.Now()).Encode()
		}, code: wire.CodeNonce},
		"answer without code": {next: func(e wire.Enrol, s wire.Secret) []byte {
			return wire.NewEnrolled(e, "Hub", wire.Secret{9}, key, time.Now()).Encode()
		}, code: wire.CodeNoCode},
		"answer of tomorrow": {next: func(e wire.Enrol, s wire.Secret) []byte {
			return wire.NewEnrolled(e, "Hub", s, key, time.Now().Add(24*time.Hour)).Encode()
		}, code: wire.CodeTime},
		"refusal of 1 MB": {next: func(wire.Enrol, wire.Secret) []byte {
			return []byte(`{"type":"refusal","code":"x","text":"` + big + `"}`)
		}, code: wire.CodeSize},
	} {
		t.Run(name, func(t *testing.T) {
			n := NewNode(t, link.Limits{Handshake: time.Minute})
			var secret wire.Secret
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ws, err := up.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer ws.Close()
				if c.first != nil {
					ws.WriteMessage(websocket.TextMessage, c.first())
					time.Sleep(100 * time.Millisecond)
					return
				}
				ws.WriteMessage(websocket.TextMessage, wire.NewChallenge(wire.KeyOf(key), wire.Nonce{1}, time.Now()).Encode())
				_, data, err := ws.ReadMessage()
				if err != nil {
					return
				}
				e, err := wire.DecodeEnrol(data)
				if err != nil {
					t.Error(err)
					return
				}
				ws.WriteMessage(websocket.TextMessage, c.next(e, secret))
				time.Sleep(100 * time.Millisecond)
			}))
			defer srv.Close()
			code, err := n.Book.NewCode(ctx5(t), "ws"+strings.TrimPrefix(srv.URL, "http"), "")
			if err != nil {
				t.Fatal(err)
			}
			secret = code.Secret
			_, err = n.Enrol(ctx5(t), code, "North")
			wantCode(t, err, c.code)
			if len(n.Book.Peers()) != 0 {
				t.Error("it was pinned")
			}
		})
	}
}

// TestAKeyWhoseOverlapIsOver: neither end takes a key that was replaced.
func TestAKeyWhoseOverlapIsOver(t *testing.T) {
	for _, side := range []string{"node", "hub"} {
		t.Run(side, func(t *testing.T) {
			h, n := enrolled(t, link.Limits{})
			next := NewKey(t)
			book, id, clock := h.Book, n.ID, h.Clock
			old := n.Key
			if side == "hub" {
				book, id, clock, old = n.Book, n.Hub, n.Clock, h.Key
			}
			if err := book.Succeed(ctx5(t), id, wire.NewSuccession(old, next, time.Now().Add(time.Minute))); err != nil {
				t.Fatal(err)
			}
			connect(t, n)
			h.Online(t, n.ID) // both are good
			clock.Skew(2 * time.Minute)
			h.Relay.Cut()
			Until(t, "the replaced key is refused", func() bool { return n.Health()[0].Code == wire.CodeKeyExpired })
			if side == "node" {
				n.SetKey(next)
			} else {
				h.SetKey(next)
			}
			h.Online(t, n.ID)
		})
	}
}

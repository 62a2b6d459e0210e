package api

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tresor/app/live"
)

// dial opens a web socket as a column's browser does.
func (w *world) dial(t *testing.T, column, topic string, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	h := http.Header{"Origin": {w.http.URL}}
	if token := w.token(t, column); token != "" {
		h.Set("Cookie", cookieName+"="+token)
	}
	for k, v := range header {
		h[k] = v
	}
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(w.http.URL, "http")+prefix+"/live?topic="+topic, h)
	if err == nil {
		conn.SetPingHandler(func(data string) error { // a pong into a closing connection must not hide why it closed
			_ = conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
			return nil
		})
	}
	return conn, resp, err
}

func (w *world) listen(t *testing.T, column, topic string) *websocket.Conn {
	t.Helper()
	conn, resp, err := w.dial(t, column, topic, nil)
	if err != nil {
		t.Fatalf("%v: %v", err, resp)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w.until(t, "the subscription stands", func() bool { return w.server.Live.Readers(topic) > 0 })
	return conn
}

func TestTopicsAreAskedLikeTheirThings(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	cases := []struct {
		topic string
		in    []string
		out   map[string]int
	}{
		{"home", []string{"operator", "researcher", "outsider"}, map[string]int{"none": 401, "enrolling": 403}},
		{"system", []string{"operator", "auditor"}, map[string]int{"researcher": 403, "checker": 403}},
		{"image", []string{"operator"}, map[string]int{"researcher": 403, "steward": 403}},
		{"job:" + w.job, []string{"researcher", "lead", "operator", "checker"}, map[string]int{"outsider": 404}},
		{"airlock:" + w.request, []string{"researcher", "checker", "steward"}, map[string]int{"outsider": 404, "operator": 403}},
		{"dataset:" + w.dataset, []string{"researcher", "steward"}, map[string]int{"outsider": 404}},
		{"job:none", nil, map[string]int{"researcher": 404, "operator": 404}},
		{"everything", nil, map[string]int{"operator": 400}},
		{"", nil, map[string]int{"operator": 400}},
	}
	for _, tc := range cases {
		for _, column := range tc.in {
			conn, _, err := w.dial(t, column, tc.topic, nil)
			if err != nil {
				t.Errorf("%s on %s: %v", column, tc.topic, err)
				continue
			}
			_ = conn.Close()
		}
		for column, status := range tc.out {
			if _, resp, err := w.dial(t, column, tc.topic, nil); err == nil || resp.StatusCode != status {
				t.Errorf("%s on %s: %v, want %d", column, tc.topic, resp, status)
			}
		}
	}
}

func TestSocketsNeedTheirOwnOrigin(t *testing.T) {
	w := newWorld(t)
	for name, origin := range map[string][]string{"other": {"https://evil.example"}, "sibling": {"https://work.127.0.0.1"}, "null": {"null"}, "none": nil} {
		_, resp, err := w.dial(t, "operator", "home", http.Header{"Origin": origin})
		if err == nil || resp.StatusCode != 403 {
			t.Errorf("%s origin got in: %v", name, resp)
		}
	}
}

func TestEventsArrive(t *testing.T) {
	w := newWorld(t)
	w.ingest(t)
	home := w.listen(t, "researcher", "home")
	id := w.submit(t, "live")
	job := w.listen(t, "operator", "job:"+id)
	var e live.Event
	if err := home.ReadJSON(&e); err != nil || e.Type == "" || e.At.IsZero() {
		t.Fatalf("%+v %v", e, err)
	}
	w.server.Live.Publish("job:"+id, live.Event{Type: "probe", At: w.now()})
	_ = job.SetReadDeadline(time.Now().Add(time.Minute))
	for e.Type != "probe" {
		_, raw, err := job.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "counting visits") {
			t.Errorf("log text reached an operator: %s", raw)
		}
		if strings.Contains(string(raw), "probe") {
			break
		}
	}
}

// closeCode reads until the server closes, and returns why.
func closeCode(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			if ce, ok := err.(*websocket.CloseError); ok { //nolint:errorlint // gorilla returns it bare
				return ce.Code
			}
			t.Fatalf("not closed: %v", err)
		}
	}
}

func TestSocketsEndWithTheirSession(t *testing.T) {
	cases := []struct {
		name string
		end  func(w *world)
	}{
		{"signing out", func(w *world) { w.as(t, "researcher", "DELETE", "/session", nil).want(t, 204) }},
		{"being disabled", func(w *world) {
			w.as(t, "operator", "PATCH", "/people/"+w.people["researcher"].ID, `{"disabled":true,"reason":"Left."}`).want(t, 200)
		}},
		{"the server stopping", func(w *world) { w.server.Close() }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.token(t, "operator")
			conn := w.listen(t, "researcher", "home")
			tc.end(w)
			if code := closeCode(t, conn); code != websocket.CloseGoingAway {
				t.Errorf("closed with %d", code)
			}
		})
	}
}

func TestSocketsAskAgain(t *testing.T) {
	w := newWorld(t)
	w.server.pingEvery = 20 * time.Millisecond
	w.ingest(t)
	id := w.submit(t, "watched")
	conn := w.listen(t, "researcher", "job:"+id)
	w.as(t, "operator", "POST", "/projects/aurora/members/"+w.people["researcher"].ID+"/remove", `{"reason":"Left."}`).want(t, 200)
	if code := closeCode(t, conn); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

func TestSocketsOutliveAStepUp(t *testing.T) {
	w := buildWorld(t, options{limits: unlimited, real: true})
	w.server.pingEvery = 20 * time.Millisecond
	b := &browser{w: w}
	secret := b.enrol(t, "researcher")
	w.tokens["researcher"] = b.cookie
	conn := w.listen(t, "researcher", "home")
	w.wait(time.Minute)
	b.send(t, "POST", "/session/step-up", `{"password":"`+goodPassword+`","totp":"`+w.code(t, secret)+`"}`).want(t, 200)
	time.Sleep(100 * time.Millisecond)
	w.server.Live.Publish("home", live.Event{Type: "still"})
	var e live.Event
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if err := conn.ReadJSON(&e); err != nil || e.Type != "still" {
		t.Errorf("%+v %v", e, err)
	}
	b.send(t, "DELETE", "/session", "").want(t, 204)
	if code := closeCode(t, conn); code != websocket.CloseGoingAway && code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

func TestSlowReadersAreDropped(t *testing.T) {
	w := newWorld(t)
	conn := w.listen(t, "researcher", "home")
	big := strings.Repeat("x", 64<<10)
	w.until(t, "the reader is dropped", func() bool {
		w.server.Live.Publish("home", live.Event{Type: "flood", Data: big})
		return w.server.Live.Readers("home") == 0
	})
	if code := closeCode(t, conn); code != websocket.CloseTryAgainLater {
		t.Errorf("closed with %d", code)
	}
}

func TestBrowsersMayNotTalkMuch(t *testing.T) {
	w := newWorld(t)
	conn := w.listen(t, "researcher", "home")
	if err := conn.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", socketRead+1))); err != nil {
		t.Fatal(err)
	}
	if code := closeCode(t, conn); code != websocket.CloseMessageTooBig && code != websocket.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
}

func TestSocketsOfOnePersonAreBounded(t *testing.T) {
	w := buildWorld(t, options{limits: Limits{Sockets: 2, PerSession: 1e6, SessionBurst: 1e6}})
	first := w.listen(t, "researcher", "home")
	w.listen(t, "researcher", "home")
	if _, resp, err := w.dial(t, "researcher", "home", nil); err == nil || resp.StatusCode != 429 {
		t.Fatalf("a third got in: %v", resp)
	}
	w.listen(t, "lead", "home")
	_ = first.Close()
	w.until(t, "there is room again", func() bool {
		conn, _, err := w.dial(t, "researcher", "home", nil)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// TestAThousandSockets: every one hears, and one costs little memory.
func TestAThousandSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a thousand connections")
	}
	const many = 1000
	w := newWorld(t)
	w.token(t, "researcher")
	conns := make([]*websocket.Conn, many)
	before := heap()
	for i := range conns {
		conn, _, err := w.dial(t, "researcher", "home", nil)
		if err != nil {
			t.Fatalf("socket %d: %v", i, err)
		}
		conns[i] = conn
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	w.until(t, "all listen", func() bool { return w.server.Live.Readers("home") == many })
	t.Logf("%d KiB a socket, both ends", (heap()-before)/many>>10)
	w.server.Live.Publish("home", live.Event{Type: "all"})
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			var e live.Event
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if err := c.ReadJSON(&e); err != nil || e.Type != "all" {
				t.Errorf("%+v %v", e, err)
			}
		})
	}
	wg.Wait()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestLiveNeedsAnUpgrade(t *testing.T) {
	w := newWorld(t)
	w.as(t, "researcher", "GET", "/live?topic=home", nil).want(t, http.StatusUpgradeRequired)
}

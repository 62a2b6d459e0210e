package plug

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tresor/fed/task"
	"tresor/plugins/protocol"
)

// Publish renders what the setting note says.
func (e echo) Publish(_ context.Context, s protocol.Settings, _ protocol.Host) ([]protocol.Document, error) {
	good := protocol.Document{Path: "a.json", ContentType: "application/json", Body: []byte(`{"url":"` + s["url"] + `"}`)}
	bad := good
	switch s["note"] {
	case "dots":
		bad.Path = "../../etc/passwd"
	case "twice":
	case "page":
		bad.Path, bad.ContentType = "b", "text/html"
	case "huge":
		bad.Path, bad.Body = "b", make([]byte, task.MaxDocument+1)
	case "many":
		var docs []protocol.Document
		for i := range task.MaxDocuments + 1 {
			docs = append(docs, protocol.Document{Path: fmt.Sprint(i), ContentType: "text/plain"})
		}
		return docs, nil
	case "fail":
		return nil, &protocol.Error{Code: protocol.CodeUnavailable, Text: "the other end is down"}
	default:
		return []protocol.Document{good}, nil
	}
	return []protocol.Document{good, bad}, nil
}

// TestWhatAPluginPublishes: good documents are passed on with the plugin's own
// settings; one that breaks a rule makes all of them refused, and the page says why.
func TestWhatAPluginPublishes(t *testing.T) {
	r := newRig(t)
	publish := func() ([]protocol.Document, error) {
		t.Helper()
		var srv protocol.Server
		until(t, "the plugin runs", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var err error
			srv, err = r.Server(ctx, "echo")
			return err == nil
		})
		return srv.(protocol.Publisher).Publish(t.Context(), protocol.Settings{"url": "ignored"}, nobody{s: r.Service, plugin: "echo"})
	}
	if docs, err := publish(); err != nil || len(docs) != 1 || string(docs[0].Body) != `{"url":"https://hub.test"}` || r.page1("echo").LastError != "" {
		t.Fatalf("%v %v %q", docs, err, r.page1("echo").LastError)
	}
	for _, c := range []struct{ note, want string }{
		{"dots", "the path of document 2"}, {"twice", "two documents"}, {"page", `the type "text/html"`}, {"huge", "1048577 bytes"}, {"many", "101 documents"}, {"fail", "the other end is down"},
	} {
		t.Run(c.note, func(t *testing.T) {
			if _, err := r.SetSettings(t.Context(), operator, "echo", map[string]string{"url": "https://hub.test", "note": c.note}); err != nil {
				t.Fatal(err)
			}
			_, err := publish()
			var e *protocol.Error
			if !errors.As(err, &e) || !strings.Contains(e.Text, c.want) {
				t.Errorf("%v", err)
			}
			if got := r.page1("echo").LastError; !strings.HasPrefix(got, "It publishes nothing now: ") || !strings.Contains(got, c.want) {
				t.Errorf("the page says %q", got)
			}
		})
	}
	if _, err := r.SetSettings(t.Context(), operator, "echo", map[string]string{"url": "https://hub.test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(); err != nil || r.page1("echo").LastError != "" {
		t.Errorf("%v %q", err, r.page1("echo").LastError)
	}
}

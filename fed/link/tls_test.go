package link

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOverTLS dials wss:// with a private authority and without it.
func TestOverTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, Limits{})
		if err != nil {
			return
		}
		c.WriteMessage([]byte("hello"))
		c.Close()
	}))
	defer srv.Close()
	u := "wss" + strings.TrimPrefix(srv.URL, "https")
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c, host, err := Dial(context.Background(), DialOptions{URL: u, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if data, err := c.ReadMessage(); err != nil || string(data) != "hello" || host != srv.Listener.Addr().String() {
		t.Errorf("%q %v %s", data, err, host)
	}
	if _, _, err := Dial(context.Background(), DialOptions{URL: u}); err == nil {
		t.Error("an unknown authority was trusted")
	}
}

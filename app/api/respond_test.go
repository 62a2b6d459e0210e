package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/identity"
)

func TestProblemOf(t *testing.T) {
	secret := errors.New("open /srv/tresor/keys/audit.key: secret-cause")
	cases := []struct {
		name   string
		err    error
		status int
		code   string
		says   string
		next   string
	}{
		{"not found", fault.New("x", fault.NotFound, "There is no job %q.", "j1"), 404, "not-found", `There is no job "j1".`, ""},
		{"invalid with a next step", fault.WithNext(fault.New("x", fault.Invalid, "Wrong."), "Do this."), 400, "invalid", "Wrong.", "Do this."},
		{"denied", fault.New("x", fault.Denied, ""), 403, "denied", "You may not do this.", ""},
		{"conflict", fault.Kinded("x", fault.Conflict, secret, "It has ended."), 409, "conflict", "It has ended.", ""},
		{"unavailable", fault.New("x", fault.Unavailable, "Later."), 503, "unavailable", "Later.", ""},
		{"exhausted", fault.New("x", fault.Exhausted, "Full."), 429, "exhausted", "Full.", ""},
		{"disk full", fault.Kinded("x", fault.Exhausted, errors.Join(syscall.ENOSPC, secret), "Nothing was saved."), 507, "exhausted", "Nothing was saved.", "Ask the operator to free space, then try again."},
		{"internal with a cause", fault.Wrap("x", secret), 500, "internal", "Something went wrong", ""},
		{"unclassified", secret, 500, "internal", "Something went wrong", ""},
		{"cancelled", context.Canceled, 503, "unavailable", "not available", ""},
		{"body too large", &http.MaxBytesError{Limit: 2048}, 413, codeTooLarge, "2 KiB", "Send less at once."},
		{"wrapped body too large", fault.Wrap("x", &http.MaxBytesError{Limit: 3 << 30}), 413, codeTooLarge, "3 GiB", "Send less at once."},
		{"not signed in", fault.Kinded("x", fault.Denied, identity.ErrUnauthenticated, "Sign in again."), 401, codeSignIn, "Sign in again.", ""},
		{"code missing", fault.Kinded("x", fault.Denied, identity.ErrNeedTOTP, "Enter the code."), 401, codeNeedTOTP, "Enter the code.", ""},
		{"door's own", refuse(418, "teapot", fault.Invalid, "Short and stout.").next("Tip me over."), 418, "teapot", "Short and stout.", "Tip me over."},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := problemOf(tc.err, "corr-1")
			if p.Status != tc.status || p.Code != tc.code || !strings.Contains(p.Detail, tc.says) || p.Next != tc.next || p.Correlation != "corr-1" {
				t.Errorf("got %+v", p)
			}
			if b, _ := json.Marshal(p); strings.Contains(string(b), "secret-cause") || strings.Contains(string(b), "/srv/") {
				t.Errorf("the cause crosses the door: %s", b)
			}
		})
	}
}

func TestThrottledSignInSaysWhenToComeBack(t *testing.T) {
	err := fault.Kinded("x", fault.Exhausted, &identity.Throttled{Wait: 7 * time.Second}, "Wait.")
	s := &Server{log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	s.respondError(w, httptest.NewRequest("POST", "/x", nil), "c", err)
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestCausesAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	w := httptest.NewRecorder()
	s.respondError(w, httptest.NewRequest("GET", "/x", nil), "corr-9", fault.Wrap("x", errors.New("disk on fire")))
	if strings.Contains(w.Body.String(), "fire") || strings.Count(log.String(), "disk on fire") != 1 || !strings.Contains(log.String(), "corr-9") {
		t.Errorf("body %s\nlog %s", w.Body, log.String())
	}
}

func TestHalfAnswersAreCutOff(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	c := &call{s: s, w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: httptest.NewRequest("GET", "/x", nil), route: &Route{}}
	_, _ = io.WriteString(c.w, "half")
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("a half answer has to abort the connection")
		}
	}()
	s.fail(c, errors.New("broke"))
}

func TestRespondJSONRefusesWhatCannotBeEncoded(t *testing.T) {
	w := httptest.NewRecorder()
	if err := respondJSON(w, 200, func() {}); err == nil || w.Body.Len() > 0 {
		t.Errorf("err %v, wrote %q", err, w.Body)
	}
}

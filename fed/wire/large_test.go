package wire

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"
)

func largeEnvelope(t testing.TB) (*Envelope, ed25519.PrivateKey) {
	hub := newKey(t)
	e := &Envelope{Node: KeyOf(newKey(t)).ID(), Seq: 1, ID: "a", Kind: "k", Made: at.UnixMilli(), Expires: at.Add(time.Hour).UnixMilli()}
	e.SetBody(bytes.Repeat([]byte("x"), MaxBody+1))
	e.Sign(hub)
	return e, hub
}

func TestALargeBodyTravelsAfterItsEnvelope(t *testing.T) {
	e, hub := largeEnvelope(t)
	data, err := e.Encode()
	if err != nil || len(data) > 2<<10 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	back, err := DecodeEnvelope(data)
	want(t, err, "")
	want(t, back.Verify(KeyOf(hub)), "")
	if !back.Large() || back.Content() != nil || back.Digest() != e.Digest() {
		t.Error("the envelope has a body before its bytes came, or another digest")
	}
	body := e.Content()
	for name, bad := range map[string][]byte{
		"nothing": nil, "one byte short": body[1:], "one byte more": append(slices.Clone(body), 'x'),
		"one byte changed": append(bytes.Repeat([]byte("x"), MaxBody), 'y'),
	} {
		if err := back.Attach(bad); err == nil || back.Content() != nil {
			t.Errorf("%s was taken: %v", name, err)
		}
	}
	want(t, back.Attach(body), "")
	if !bytes.Equal(back.Content(), body) {
		t.Error("another body")
	}
	small, _ := envelope(t)
	want(t, small.Attach([]byte("<&>")), CodeBody)
}

func TestLargeEnvelopeForm(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(e *Envelope)
		code   Code
	}{
		"ok":                  {func(e *Envelope) {}, ""},
		"the largest":         {func(e *Envelope) { e.Size = MaxLarge }, ""},
		"over the limit":      {func(e *Envelope) { e.Size = MaxLarge + 1 }, CodeSize},
		"it would fit inside": {func(e *Envelope) { e.Size = MaxBody }, CodeSize},
		"negative":            {func(e *Envelope) { e.Size = -1 }, CodeSize},
		"no size":             {func(e *Envelope) { e.Size = 0 }, CodeMalformed},
		"a body inside too":   {func(e *Envelope) { e.Body = []byte("x") }, CodeMalformed},
		"no sum":              {func(e *Envelope) { e.Sum = nil }, CodeMalformed},
		"older version":       {func(e *Envelope) { e.Version = 1 }, CodeMalformed},
		"future version":      {func(e *Envelope) { e.Version = Version + 1 }, CodeVersion},
	} {
		t.Run(name, func(t *testing.T) {
			e, hub := largeEnvelope(t)
			tc.change(e)
			e.Sig = sign(hub, e.canon())
			_, err := e.Encode()
			want(t, err, tc.code)
		})
	}
	e, hub := largeEnvelope(t)
	e.Size++
	want(t, e.Verify(KeyOf(hub)), CodeSignature)
	e.Size--
	e.Sum[0]++
	want(t, e.Verify(KeyOf(hub)), CodeSignature)
}

// An envelope that an older program made is read, and one that it can read is made.
func TestSmallEnvelopesStayAsOlderProgramsKnowThem(t *testing.T) {
	e, _ := envelope(t)
	data, err := e.Encode()
	want(t, err, "")
	if e.Version != Oldest || strings.Contains(string(data), `"size"`) || strings.Contains(string(data), `"sum"`) {
		t.Errorf("%s", data)
	}
}

func TestTheNewestCommonVersionIsSpoken(t *testing.T) {
	hub, node := newKey(t), newKey(t)
	for _, tc := range []struct {
		versions []int
		speaks   int
		code     Code
	}{
		{[]int{1}, 1, ""}, {[]int{1, 2}, 2, ""}, {[]int{2}, 2, ""}, {[]int{2, 3}, 2, ""},
		{[]int{3}, 0, CodeVersion}, {[]int{0}, 0, CodeVersion}, {[]int{}, 0, CodeVersion},
	} {
		ch := NewChallenge(KeyOf(hub), Nonce{1}, at)
		ch.Versions = tc.versions
		back, err := DecodeChallenge(ch.Encode())
		want(t, err, tc.code)
		if err != nil {
			continue
		}
		h := NewHello(back, "h", node, Nonce{2}, at, nil)
		en := NewEnrol(back, "h", "n", Secret{}, node, Nonce{2}, at)
		if h.Version != tc.speaks || en.Version != tc.speaks {
			t.Errorf("%v: hello %d, enrolment %d", tc.versions, h.Version, en.Version)
		}
		want(t, h.Check(back, []string{"h"}, at), "")
	}
}

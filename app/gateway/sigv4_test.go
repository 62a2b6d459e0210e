package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// awsKey is a key as a store knows it.
type awsKey struct{ id, secret, region string }

// check says why a store refuses the request, in the words of S3; empty: it takes it.
// Written from "Authenticating Requests: Using the Authorization Header (AWS Signature
// Version 4)" of the Amazon S3 API reference.
func (k awsKey) check(r *http.Request, now time.Time) string {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "AccessDenied"
	}
	parts := map[string]string{}
	for p := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[name] = value
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	scope := strings.Split(parts["Credential"], "/")
	signed := strings.Split(parts["SignedHeaders"], ";")
	switch {
	case err != nil, len(scope) != 5, scope[3] != "s3", scope[4] != "aws4_request", !slices.Contains(signed, "host"):
		return "AuthorizationHeaderMalformed"
	case scope[0] != k.id:
		return "InvalidAccessKeyId"
	case scope[2] != k.region:
		return "AuthorizationHeaderMalformed"
	case at.Sub(now).Abs() > 15*time.Minute, scope[1] != at.Format("20060102"):
		return "RequestTimeTooSkewed"
	}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-") && !slices.Contains(signed, n) {
			return "AccessDenied"
		}
	}
	sum := sha256.Sum256([]byte(k.canonical(r, signed)))
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), strings.Join(scope[1:], "/"), hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + k.secret)
	for _, s := range append(scope[1:], toSign) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(s))
		key = m.Sum(nil)
	}
	if parts["Signature"] != hex.EncodeToString(key) {
		return "SignatureDoesNotMatch"
	}
	return ""
}

func (k awsKey) canonical(r *http.Request, signed []string) string {
	var query, headers []string
	for name, values := range r.URL.Query() {
		for _, v := range values {
			query = append(query, awsEncode(name, true)+"="+awsEncode(v, true))
		}
	}
	slices.Sort(query)
	for _, name := range signed {
		value := strings.Join(strings.Fields(strings.Join(r.Header.Values(name), ",")), " ")
		if name == "host" {
			value = r.Host
		}
		headers = append(headers, name+":"+value+"\n")
	}
	return strings.Join([]string{r.Method, awsEncode(r.URL.Path, false), strings.Join(query, "&"), strings.Join(headers, ""), strings.Join(signed, ";"), r.Header.Get("X-Amz-Content-Sha256")}, "\n")
}

// awsEncode is UriEncode of the specification.
func awsEncode(s string, slash bool) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || c == '/' && !slash {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// TestTheCheckItself: the examples that the Amazon S3 API reference publishes.
func TestTheCheckItself(t *testing.T) {
	k := awsKey{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"}
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for target, c := range map[string]struct{ rng, signed, signature string }{
		"/test.txt":             {"bytes=0-9", "host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		"/?lifecycle":           {"", "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		"/?max-keys=2&prefix=J": {"", "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		r := httptest.NewRequest("GET", target, nil)
		r.Host = "examplebucket.s3.amazonaws.com"
		r.Header = http.Header{"X-Amz-Date": {"20130524T000000Z"}, "X-Amz-Content-Sha256": {emptySHA256},
			"Authorization": {"AWS4-HMAC-SHA256 Credential=" + k.id + "/20130524/us-east-1/s3/aws4_request,SignedHeaders=" + c.signed + ",Signature=" + c.signature}}
		if c.rng != "" {
			r.Header.Set("Range", c.rng)
		}
		if word := k.check(r, now); word != "" {
			t.Errorf("%s: %s", target, word)
		}
		r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64))
		if word := k.check(r, now); word != "SignatureDoesNotMatch" {
			t.Errorf("%s with another body: %q", target, word)
		}
	}
}

// FuzzObject: the address of an object lies where its source's files do, whatever its
// name, and the wire has no sign in it that servers read differently.
func FuzzObject(f *testing.F) {
	for _, s := range []string{"s3://bucket/ref/y.csv", "s3://bucket/ref/a+b c", "s3://bucket/ref/ä~'()!*", "s3://bucket/ref/%25%3f%23", "s3://bucket/ref/../x", "s3://bucket/ref/x?versionId=1", "s3://bucket/ref//", "s3://bucket/ref/\x82$0"} {
		f.Add(s)
	}
	src := Source{Prefix: "s3://bucket/ref/", Kind: SourceS3, Endpoint: "https://store.example.org/files"}
	list := &fetcher{sources: []Source{src}}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := list.allowed(raw); err != nil {
			return
		}
		u, err := plainURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		at, err := src.object(u)
		if err != nil {
			return
		}
		wire := at.EscapedPath()
		if got, err := url.PathUnescape(wire); err != nil || got != "/files/bucket"+u.Path || !strings.HasPrefix(got, "/files/bucket/ref/") {
			t.Errorf("%q is at %q (%v)", raw, wire, err)
		}
		if wire != awsEncode(at.Path, false) {
			t.Errorf("%q is written %q", raw, wire)
		}
	})
}

// FuzzComplaint: whatever a source answers, one short word of it is told.
func FuzzComplaint(f *testing.F) {
	f.Add(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>`)
	f.Add(`<Error><Code>AccessDenied <script></Code></Error>`)
	f.Add(`<Error xmlns="x"><Code>A</Code>`)
	f.Add(`<!DOCTYPE e [<!ENTITY a "b">]><Error><Code>&a;</Code></Error>`)
	f.Fuzz(func(t *testing.T, body string) {
		if w := complaint(strings.NewReader(body)); w != "" && !complaintWord.MatchString(w) {
			t.Errorf("%q is told of %q", w, body)
		}
	})
}

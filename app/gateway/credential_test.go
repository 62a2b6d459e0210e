package gateway

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/keyfile"
	"tresor/plugins/protocol"
)

// lock gives the gateway a key for credentials.
func (h *house) lock() {
	h.t.Helper()
	seal, err := keyfile.NewSealer(filepath.Join(filepath.Dir(h.vaultDir), "plugins.key"))
	h.must(err)
	h.g.Seal = seal
}

// give sets a source's credential as the operator.
func (h *house) give(name string, c Credential) {
	h.t.Helper()
	_, err := h.g.SetCredential(ctx, h.as("olga"), name, c)
	h.must(err)
}

// fetch submits a task with one input from outside and returns what was fetched of it.
func (h *house) fetch(who Caller, source string) (sha256 string, err error) {
	h.t.Helper()
	r := request("sleep")
	r.Inputs = []protocol.Input{{Path: "/work/in/x", Source: source}}
	st, err := h.host(who).Submit(ctx, r)
	if err != nil {
		return "", err
	}
	j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
	h.must(err)
	return j.Places[0].SHA256, nil
}

// objects is a store that serves only who signs; it answers by the object's
// path, and it is a real server of TLS.
type objects struct {
	mu  sync.Mutex
	key awsKey
	got []string // request lines and hosts of what it served
	has []string // names in the bucket lab
}

// list answers as ListObjectsV2 does.
func (o *objects) list(bucket string, q url.Values) string {
	if bucket != "/lab" {
		return "<ListBucketResult></ListBucketResult>"
	}
	most, _ := strconv.Atoi(q.Get("max-keys"))
	var b strings.Builder
	n := 0
	for _, name := range o.has {
		if strings.HasPrefix(name, q.Get("prefix")) {
			if n++; n <= most {
				fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>1</Size></Contents>", strings.ReplaceAll(url.QueryEscape(name), "%2F", "/"))
			}
		}
	}
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lab</Name><EncodingType>url</EncodingType><IsTruncated>%v</IsTruncated>%s</ListBucketResult>`, n > most, b.String())
}

func (o *objects) rotate(k awsKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.key = k
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	word := o.key.check(r, time.Now())
	if word == "" && r.URL.Path == "/lab/in/absent" {
		word = "NoSuchKey"
	}
	status := map[string]int{"": 200, "NoSuchKey": 404, "AuthorizationHeaderMalformed": 400}[word]
	if status == 0 {
		status = 403
	}
	w.WriteHeader(status)
	if word == "" && r.URL.Query().Get("list-type") == "2" {
		fmt.Fprint(w, o.list(r.URL.Path, r.URL.Query()))
		return
	}
	if word != "" {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>CANARY-PAGE</Message></Error>`, word)
		return
	}
	o.got = append(o.got, r.RequestURI)
	fmt.Fprint(w, r.URL.Path)
}

// realStore starts one, lists its bucket lab, and lets the real transport reach it.
func (h *house) realStore(k awsKey) *objects {
	h.t.Helper()
	o := &objects{key: k}
	srv := httptest.NewTLSServer(o)
	h.t.Cleanup(srv.Close)
	h.g.Fetch.Roots = x509.NewCertPool()
	h.g.Fetch.Roots.AddCert(srv.Certificate())
	h.lock()
	h.allow(Source{Prefix: "s3://lab/in/", Endpoint: srv.URL})
	return o
}

// TestSignedFetch: objects of a private bucket come with a signature that the store
// finds good, however they are called.
func TestSignedFetch(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	k := awsKey{"lab-reader", "hunter2/+ secret", "us-east-1"}
	o := h.realStore(k)
	h.give("s3://lab/in/", Credential{AccessKey: k.id, SecretKey: k.secret})
	for source, path := range map[string]string{
		"s3://lab/in/x.csv":                  "/lab/in/x.csv",
		"s3://lab/in/deep/down/x":            "/lab/in/deep/down/x",
		"s3://lab/in/a%20b.csv":              "/lab/in/a b.csv",
		"s3://lab/in/a+b=c&d;e,f:g@h$i.csv":  "/lab/in/a+b=c&d;e,f:g@h$i.csv",
		"s3://lab/in/it's~(new)*!.csv":       "/lab/in/it's~(new)*!.csv",
		"s3://lab/in/%C3%A4%E2%82%AC.csv":    "/lab/in/ä€.csv",
		"s3://lab/in/ä.csv":                  "/lab/in/ä.csv",
		"s3://lab/in/100%25.csv":             "/lab/in/100%.csv",
		"s3://lab/in/x?versionId=not-passed": "/lab/in/x",
	} {
		sum, err := h.fetch(who, source)
		if err != nil || sum != digest([]byte(path)) {
			t.Errorf("%s: %s (%v)", source, sum, err)
		}
	}
	for _, line := range o.got {
		if strings.ContainsAny(line, "+?") {
			t.Errorf("%s was asked for", line)
		}
	}
	k = awsKey{"next", "next secret", "eu-north-1"}
	o.rotate(k)
	_, err := h.fetch(who, "s3://lab/in/x.csv")
	h.wantRefusal(err, CodeUnavailable, "does not take the credential that this server has for it (403, InvalidAccessKeyId). Ask the operator of this server to check the source's credential")
	h.give("s3://lab/in/", Credential{AccessKey: k.id, SecretKey: k.secret, Region: k.region})
	if _, err = h.fetch(who, "s3://lab/in/x.csv"); err != nil {
		t.Errorf("after it was replaced: %v", err)
	}
}

// TestSignedRefusals: what a store does not take is told with who can mend it.
func TestSignedRefusals(t *testing.T) {
	k := awsKey{"lab-reader", "right secret", "us-east-1"}
	good := Credential{AccessKey: k.id, SecretKey: k.secret}
	for _, c := range []struct {
		name, source string
		key          *Credential
		code, text   string
	}{
		{"none", "s3://lab/in/x", nil, CodeUnavailable, "wants a credential that this server does not have for it (403, AccessDenied). Ask the operator"},
		{"another key", "s3://lab/in/x", &Credential{AccessKey: "other", SecretKey: k.secret}, CodeUnavailable, "(403, InvalidAccessKeyId)"},
		{"another secret", "s3://lab/in/x", &Credential{AccessKey: k.id, SecretKey: "CANARY-SECRET"}, CodeUnavailable, "(403, SignatureDoesNotMatch)"},
		{"another region", "s3://lab/in/x", &Credential{AccessKey: k.id, SecretKey: k.secret, Region: "eu-north-1"}, CodeUnavailable, "(400, AuthorizationHeaderMalformed)"},
		{"not there", "s3://lab/in/absent", &good, CodeMalformed, `There is no file at "s3://lab/in/absent".`},
		{"a folder", "s3://lab/in/", &good, CodeMalformed, "names a bucket or a folder"},
		{"above the prefix", "s3://lab/other", &good, CodeSource, "not one that this server fetches from"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			_, who := h.hub("North hub")
			h.realStore(k)
			if c.key != nil {
				h.give("s3://lab/in/", *c.key)
			}
			_, err := h.fetch(who, c.source)
			h.wantRefusal(err, c.code, c.text)
		})
	}
}

// witness is a world of hosts that note who came with which credential.
type witness struct {
	mu  sync.Mutex
	got map[string]string // by host and path: Authorization and Referer
}

func (s *witness) note(then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.got[r.Host+r.URL.Path] = r.Header.Get("Authorization") + r.Header.Get("Referer") + r.Header.Get("X-Api-Key")
		s.mu.Unlock()
		then(w, r)
	}
}

func carries(s string) string { return "Bearer " + s }

// TestACredentialStaysWithItsSource: it goes to the source and to no other address,
// whatever leads there.
func TestACredentialStaysWithItsSource(t *testing.T) {
	h := newHouse(t)
	h.lock()
	_, who := h.hub("North hub")
	s := &witness{got: map[string]string{}}
	const drs = "drs.example.org/ga4gh/drs/v1/objects/"
	pages := map[string]http.HandlerFunc{
		"data.example.org/in/x":           text("x"),
		"data.example.org/open/x":         text("x"),
		"data.example.org/in/same":        redirect("/in/x"),
		"data.example.org/in/up":          redirect("/open/x"),
		"data.example.org/in/sub":         redirect("https://sub.data.example.org/x"),
		"sub.data.example.org/x":          text("x"),
		"data.example.org/in/port":        redirect("https://data.example.org:8443/x"),
		"data.example.org:8443/x":         text("x"),
		"data.example.org/in/away":        redirect("https://other.example.org/x?sig=1"),
		"other.example.org/x":             text("x"),
		"other.example.org/to":            redirect("https://data.example.org/in/x"),
		"data.example.org/in/secret":      redirect("https://private.example.org/x"),
		"private.example.org/x":           text("x"),
		"data.example.org/in/store":       redirect("https://store.example.org/lab/x"),
		"store.example.org/lab/x":         text("x"),
		"basic.example.org/x":             text("x"),
		drs + "https":                     drsAnswer("", drsURL("https", "https://other.example.org/x")),
		drs + "keyed":                     drsAnswer("", drsURL("https", "https://private.example.org/x")),
		drs + "s3":                        drsAnswer("", drsURL("s3", "s3://lab/x")),
		drs + "by-id":                     drsAnswer("", `{"type":"https","access_id":"way"}`),
		drs + "by-id/access/way":          text(`{"url":"https://other.example.org/x"}`),
		drs + "a/b":                       drsAnswer("", drsURL("https", "https://other.example.org/x")),
		"drs.example.org/elsewhere/https": text("x"),
	}
	for at, page := range pages {
		pages[at] = s.note(page)
	}
	h.world(t, pages)
	h.allow(Source{Prefix: "https://data.example.org/"}, Source{Prefix: "https://data.example.org/in/", Credential: &Credential{Token: "in-token"}},
		Source{Prefix: "https://data.example.org:8443/"}, Source{Prefix: "https://sub.data.example.org/"}, Source{Prefix: "https://other.example.org/"},
		Source{Prefix: "https://private.example.org/", Credential: &Credential{Token: "private-token"}},
		Source{Prefix: "https://basic.example.org/", Credential: &Credential{User: "lab", Password: "of: all"}},
		Source{Prefix: "s3://lab/", Endpoint: "https://store.example.org", Credential: &Credential{AccessKey: "lab-reader", SecretKey: "s"}},
		Source{Prefix: "drs://drs.example.org/", Endpoint: "https://drs.example.org", Credential: &Credential{Token: "drs-token"}},
		Source{Prefix: "https://data.example.org/in/", Plugin: "poller"}, Source{Prefix: "https://other.example.org/", Plugin: "poller"})
	for _, c := range []struct {
		source string
		want   map[string]string
	}{
		{"https://data.example.org/in/x", map[string]string{"data.example.org/in/x": carries("in-token")}},
		{"https://data.example.org/open/x", map[string]string{"data.example.org/open/x": ""}},
		{"https://data.example.org/in/same", map[string]string{"data.example.org/in/same": carries("in-token"), "data.example.org/in/x": carries("in-token")}},
		{"https://data.example.org/in/up", map[string]string{"data.example.org/in/up": carries("in-token"), "data.example.org/open/x": ""}},
		{"https://data.example.org/in/sub", map[string]string{"data.example.org/in/sub": carries("in-token"), "sub.data.example.org/x": ""}},
		{"https://data.example.org/in/port", map[string]string{"data.example.org/in/port": carries("in-token"), "data.example.org:8443/x": ""}},
		{"https://data.example.org/in/away?sig=secret", map[string]string{"data.example.org/in/away": carries("in-token"), "other.example.org/x": ""}},
		{"https://other.example.org/to", map[string]string{"other.example.org/to": "", "data.example.org/in/x": ""}},
		{"https://data.example.org/in/secret", map[string]string{"data.example.org/in/secret": carries("in-token"), "private.example.org/x": ""}},
		{"https://data.example.org/in/store", map[string]string{"data.example.org/in/store": carries("in-token"), "store.example.org/lab/x": ""}},
		{"https://basic.example.org/x", map[string]string{"basic.example.org/x": "Basic bGFiOm9mOiBhbGw="}},
		{"drs://drs.example.org/https", map[string]string{drs + "https": carries("drs-token"), "other.example.org/x": ""}},
		{"drs://drs.example.org/keyed", map[string]string{drs + "keyed": carries("drs-token"), "private.example.org/x": carries("private-token")}},
		{"drs://drs.example.org/s3", map[string]string{drs + "s3": carries("drs-token"), "store.example.org/lab/x": "AWS4-HMAC-SHA256 Credential=lab-reader/"}},
		{"drs://drs.example.org/by-id", map[string]string{drs + "by-id": carries("drs-token"), drs + "by-id/access/way": carries("drs-token"), "other.example.org/x": ""}},
		{"drs://drs.example.org/a/b", map[string]string{drs + "a/b": carries("drs-token"), "other.example.org/x": ""}},
	} {
		clear(s.got)
		if _, err := h.fetch(who, c.source); err != nil {
			t.Errorf("%s: %v", c.source, err)
		}
		for at, want := range c.want {
			got, asked := s.got[at]
			if len(want) > 40 || strings.HasPrefix(want, "AWS4") {
				got = got[:min(len(got), len(want))]
			}
			if !asked || got != want {
				t.Errorf("%s: %s got %q (%v), want %q", c.source, at, got, asked, want)
			}
		}
		if len(s.got) != len(c.want) {
			t.Errorf("%s: %d addresses were asked: %v", c.source, len(s.got), s.got)
		}
	}
	clear(s.got)
	mine := map[string][]string{"Authorization": {"Bearer y"}, "X-Api-Key": {"z"}}
	for path, want := range map[string]map[string]string{"x": {"data.example.org/in/x": "Bearer yz"}, "same": {"data.example.org/in/x": "Bearer yz"}, "away": {"other.example.org/x": ""}} {
		if _, err := h.g.FetchFor(ctx, "poller", protocol.Request{Method: "GET", Path: "https://data.example.org/in/" + path, Header: mine}); err != nil {
			t.Errorf("a plugin at %s: %v", path, err)
		}
		for at, want := range want {
			if got := s.got[at]; got != want {
				t.Errorf("a plugin at %s: %s got %q, want %q", path, at, got, want)
			}
		}
	}
	if _, err := h.g.FetchFor(ctx, "poller", protocol.Request{Method: "GET", Path: "https://data.example.org/in/x"}); err != nil || s.got["data.example.org/in/x"] != "" {
		t.Errorf("a plugin goes with %q (%v)", s.got["data.example.org/in/x"], err)
	}
}

// TestCredentialForms: which source takes which credential.
func TestCredentialForms(t *testing.T) {
	h := newHouse(t)
	h.lock()
	h.allow(Source{Prefix: "https://data.example.org/"}, Source{Prefix: "s3://lab/", Endpoint: "https://store.example.org"},
		Source{Prefix: "drs://drs.example.org/", Endpoint: "https://drs.example.org"}, Source{Prefix: "https://api.example.org/", Plugin: "poller"})
	const web, lab, drs = "https://data.example.org/", "s3://lab/", "drs://drs.example.org/"
	for _, c := range []struct {
		name, source string
		key          Credential
		text         string // empty: it is taken
	}{
		{"a key", lab, Credential{AccessKey: "a", SecretKey: "b/+=c"}, ""},
		{"a key of a region", lab, Credential{AccessKey: "a", SecretKey: "b", Region: "eu-north-1"}, ""},
		{"a token", web, Credential{Token: "a.b-c_d~e/f+g="}, ""},
		{"a long token", drs, Credential{Token: strings.Repeat("x", 8<<10)}, ""},
		{"a name", web, Credential{User: "a", Password: "b: c"}, ""},
		{"a name alone", drs, Credential{User: "a"}, ""},
		{"nothing", web, Credential{}, "Give one"},
		{"two", web, Credential{Token: "CANARY", User: "CANARY"}, "Give one"},
		{"a key and a token", lab, Credential{AccessKey: "CANARY", SecretKey: "CANARY", Token: "CANARY"}, "Give one"},
		{"a key without its secret", lab, Credential{AccessKey: "CANARY"}, "and its secret"},
		{"a secret without its key", lab, Credential{SecretKey: "CANARY"}, "and its secret"},
		{"a region alone", lab, Credential{Region: "eu"}, "and its secret"},
		{"a token of a bucket", lab, Credential{Token: "CANARY"}, "and its secret"},
		{"a key of a web server", web, Credential{AccessKey: "CANARY", SecretKey: "CANARY"}, "wants a token"},
		{"a password alone", web, Credential{Password: "CANARY"}, "name is missing"},
		{"a colon", web, Credential{User: "CANARY:b", Password: "CANARY"}, "colon"},
		{"a line", web, Credential{Token: "CANARY\r\nX: y"}, "printable"},
		{"a line in a password", web, Credential{User: "a", Password: "CANARY\n"}, "printable"},
		{"a letter of elsewhere", lab, Credential{AccessKey: "a", SecretKey: "CANARYä"}, "printable"},
		{"the word Bearer", web, Credential{Token: "Bearer CANARY"}, "blank"},
		{"a slash in a key", lab, Credential{AccessKey: "CANARY/b", SecretKey: "b"}, "slash"},
		{"a region that is none", lab, Credential{AccessKey: "a", SecretKey: "CANARY", Region: "EU North"}, "region"},
		{"too long", web, Credential{Token: strings.Repeat("CANARY", 2000)}, "longer"},
		{"a plugin's", "https://api.example.org/", Credential{Token: "CANARY"}, "its own settings"},
	} {
		src, err := h.g.SetCredential(ctx, h.as("olga"), c.source, c.key)
		if c.text == "" {
			if err != nil || src.CredentialAt.IsZero() {
				t.Errorf("%s: %+v (%v)", c.name, src, err)
			}
			continue
		}
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.text) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := h.g.AddSource(ctx, h.as("olga"), Source{Prefix: "https://more.example.org/", Credential: &Credential{}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("added with an empty one: %v", err)
	}
	if _, err := h.g.SetCredential(ctx, h.as("olga"), "https://none.example.org/", Credential{Token: "x"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("of no source: %v", err)
	}
	for as := range h.people {
		_, set := h.g.SetCredential(ctx, h.as(as), web, Credential{Token: "x"})
		_, drop := h.g.DropCredential(ctx, h.as(as), web)
		if want := map[bool]fault.Kind{true: 0, false: fault.Denied}[as == "olga"]; (set == nil) != (as == "olga") || fault.KindOf(set) != want || fault.KindOf(drop) != want {
			t.Errorf("%s: %v, %v", as, set, drop)
		}
	}
}

// TestCredentialsLife: it is shown as a time, goes with its source, and opens for
// nothing else.
func TestCredentialsLife(t *testing.T) {
	h := newHouse(t)
	h.lock()
	_, who := h.hub("North hub")
	s := &witness{got: map[string]string{}}
	h.world(t, map[string]http.HandlerFunc{"data.example.org/x": s.note(text("x")), "evil.example.org/x": s.note(text("x"))})
	const at = "https://data.example.org/"
	find := func() Source {
		t.Helper()
		list, err := h.g.Sources(ctx, h.as("lena"))
		if err != nil || len(list) != 1 || list[0].Credential != nil {
			t.Fatalf("%+v (%v)", list, err)
		}
		return list[0]
	}
	goes := func(want string) {
		t.Helper()
		if _, err := h.fetch(who, find().Prefix+"x"); err != nil || s.got["data.example.org/x"] != want {
			t.Errorf("goes with %q (%v), want %q", s.got["data.example.org/x"], err, want)
		}
	}
	h.allow(Source{Prefix: at})
	if !find().CredentialAt.IsZero() {
		t.Error("it has one before it was set")
	}
	h.give(at, Credential{Token: "first"})
	first := find()
	if since := time.Since(first.CredentialAt); since < 0 || since > time.Hour {
		t.Errorf("set at %s", first.CredentialAt)
	}
	goes(carries("first"))
	h.give(first.ID, Credential{User: "a"})
	goes("Basic YTo=")
	src, err := h.g.DropCredential(ctx, h.as("olga"), at)
	if err != nil || !src.CredentialAt.IsZero() || !find().CredentialAt.IsZero() {
		t.Errorf("%+v (%v)", src, err)
	}
	goes("")
	h.give(at, Credential{Token: "second"})
	h.must(h.g.DropSource(ctx, h.as("olga"), at))
	h.allow(Source{Prefix: at})
	goes("")
	h.give(at, Credential{Token: "third"})
	for name, change := range map[string]string{"its address": `UPDATE gateway_source SET prefix = 'https://evil.example.org/'`, "its endpoint": `UPDATE gateway_source SET endpoint = 'https://evil.example.org'`,
		"its id": `UPDATE gateway_source SET id = 'x'`, "its bytes": `UPDATE gateway_source SET credential = x'00'`} {
		h.must(h.exec(`CREATE TEMP TABLE before AS SELECT * FROM gateway_source`))
		h.must(h.exec(change))
		clear(s.got)
		_, err := h.fetch(who, find().Prefix+"x")
		h.wantRefusal(err, CodeUnavailable, "cannot read the credential that it has for the source. Ask the operator of this server to enter it again.")
		if len(s.got) > 0 {
			t.Errorf("with %s changed: %v was asked", name, s.got)
		}
		h.must(h.exec(`DELETE FROM gateway_source`))
		h.must(h.exec(`INSERT INTO gateway_source SELECT * FROM before`))
		h.must(h.exec(`DROP TABLE before`))
	}
	goes(carries("third"))
}

// TestCredentialFaults: the writes fail, or fail after they were stored; then they are
// done again, and what is sent is what was set.
func TestCredentialFaults(t *testing.T) {
	const at = "https://data.example.org/"
	for name, c := range map[string]struct {
		do    func(h *house) error
		want  string // what is sent once it was stored
		again fault.Kind
	}{
		"set": {func(h *house) error {
			_, err := h.g.SetCredential(ctx, h.as("olga"), at, Credential{Token: "new"})
			return err
		}, carries("new"), 0},
		"drop":            {func(h *house) error { _, err := h.g.DropCredential(ctx, h.as("olga"), at); return err }, "", 0},
		"drop the source": {func(h *house) error { return h.g.DropSource(ctx, h.as("olga"), at) }, "gone", fault.NotFound},
		"add": {func(h *house) error {
			_, err := h.g.AddSource(ctx, h.as("olga"), Source{Prefix: "https://data.example.org/x/", Credential: &Credential{Token: "more"}})
			return err
		}, carries("more"), fault.Conflict},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stored %v", name, after), func(t *testing.T) {
				h := newHouse(t)
				h.lock()
				_, who := h.hub("North hub")
				s := &witness{got: map[string]string{}}
				h.world(t, map[string]http.HandlerFunc{"data.example.org/x/y": s.note(text("x"))})
				h.allow(Source{Prefix: at, Credential: &Credential{Token: "old"}})
				sent := func() string {
					clear(s.got)
					if _, err := h.fetch(who, at+"x/y"); err != nil {
						return "gone"
					}
					return s.got["data.example.org/x/y"]
				}
				h.g.update = (&faulty{after: after, real: h.db.Update}).update
				if err := c.do(h); err == nil || strings.Contains(fault.Message(err), "disk is gone") {
					t.Fatalf("error %v", err)
				}
				h.g.update = h.db.Update
				if want := map[bool]string{false: carries("old"), true: c.want}[after]; sent() != want {
					t.Errorf("%q is sent, want %q", sent(), want)
				}
				if err := c.do(h); err != nil && (!after || fault.KindOf(err) != c.again) {
					t.Errorf("again: %v", err)
				}
				if sent() != c.want {
					t.Errorf("at the end %q is sent, want %q", sent(), c.want)
				}
			})
		}
	}
}

// TestCredentialsAreNowhere: no part of one is in the database, the log, the audit log,
// an answer or an error, whether the source takes it or not.
func TestCredentialsAreNowhere(t *testing.T) {
	h := newHouse(t)
	h.lock()
	var log bytes.Buffer
	h.g.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, who := h.hub("North hub")
	secrets := []string{"KANARI-id", "KANARI-secret", "KANARI-token", "KANARI-user", "KANARI-pass", "KANARI-query"}
	keys := []Credential{{AccessKey: secrets[0], SecretKey: secrets[1]}, {Token: secrets[2]}, {User: secrets[3], Password: secrets[4]}}
	closed := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403); fmt.Fprint(w, r.Header) }
	h.world(t, map[string]http.HandlerFunc{"store.example.org/lab/x": closed, "data.example.org/x": closed, "basic.example.org/x": text("x"),
		"data.example.org/away": redirect("https://data.example.org/away?again=" + secrets[5])})
	h.allow(Source{Prefix: "s3://lab/", Endpoint: "https://store.example.org", Credential: &keys[0]}, Source{Prefix: "https://data.example.org/", Credential: &keys[1]},
		Source{Prefix: "https://basic.example.org/", Credential: &keys[2]})
	all := fmt.Sprintf("%v %+v %#v %s %q", keys, &keys[0], keys[1], keys[2], keys)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", keys[0], "list", &keys[1])
	for _, source := range []string{"s3://lab/x", "https://data.example.org/x?sig=" + secrets[5], "https://basic.example.org/x?sig=" + secrets[5], "https://data.example.org/away?sig=" + secrets[5]} {
		_, err := h.fetch(who, source)
		all += fmt.Sprint(err)
	}
	h.g.Fetch.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: os.ErrDeadlineExceeded}
	})
	_, err := h.fetch(who, "https://data.example.org/x?sig="+secrets[5])
	all += fmt.Sprint(err)
	list, err := h.g.Sources(ctx, h.as("olga"))
	h.must(err)
	for _, v := range []any{list, h.ledger(p.ID)} {
		b, err := json.Marshal(v)
		h.must(err)
		all += string(b) + fmt.Sprintf("%+v", v)
	}
	h.must(h.g.flush(ctx))
	dir := filepath.Dir(h.vaultDir)
	for _, name := range []string{"tresor.db", "tresor.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		h.must(err)
		all += string(b)
	}
	all += log.String()
	if !strings.Contains(all, "gateway.source-added") || !strings.Contains(all, "a request failed") || len(all) < 1<<20 {
		t.Fatalf("looked at %d bytes only", len(all))
	}
	for _, secret := range secrets {
		if i := strings.Index(all, secret); i >= 0 {
			t.Errorf("%s stands in …%q…", secret, all[max(0, i-200):min(len(all), i+100)])
		}
	}
}

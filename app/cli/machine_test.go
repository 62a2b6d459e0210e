package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

// office is a server that answers fixed JSON and remembers what it was asked.
type office struct {
	answers map[string]string // "METHOD /path" -> body
	asked   []string
	body    string // of the last request
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Method + " " + strings.TrimPrefix(r.URL.RequestURI(), "/api/v1")
	o.asked = append(o.asked, key)
	b, _ := io.ReadAll(r.Body)
	o.body = string(b)
	answer, ok := o.answers[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		answer = `{"title":"Not found","detail":"Not found, or not visible to you.","code":"not-found"}`
	}
	_, _ = io.WriteString(w, answer)
}

// run runs one command against the office and returns what it printed.
func (o *office) run(t *testing.T, make func(*env) *cobra.Command, in string, args ...string) (out, errs string, err error) {
	t.Helper()
	srv := httptest.NewServer(o)
	defer srv.Close()
	var outw, errw bytes.Buffer
	e := &env{in: strings.NewReader(in), out: &outw, err: &errw, client: newPublicClient(srv.URL, srv.Client())}
	c := make(e)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	c.SetOut(&outw)
	c.SetErr(&errw)
	err = c.ExecuteContext(t.Context())
	return outw.String(), errw.String(), err
}

const pluginJSON = `{"name":"beacon","enabled":false,"settings_schema":[{"key":"url","kind":"url"},{"key":"token","kind":"secret"}],
	"settings":{"url":"https://old","token":""},"set":["token"],"confined":{"landlock":true,"seccomp":true,"memory":true,"checked":true,"text":"Tried: no files, no network."}}`

func TestTrustShowsTheFileAndAsks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "beacon")
	if err := os.WriteFile(file, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, answer string
		args         []string
		sent         bool
	}{
		{"yes", "y\n", nil, true},
		{"no", "n\n", nil, false},
		{"refused: nothing was answered", "", nil, false},
		{"refused: only enter", "\n", nil, false},
		{"not asked with --yes", "", []string{"--yes"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &office{answers: map[string]string{"POST /plugins": pluginJSON}}
			out, errs, err := o.run(t, newPlugin, c.answer, append([]string{"trust", file}, c.args...)...)
			if c.sent != (err == nil) || c.sent != (len(o.asked) == 1) {
				t.Fatalf("err %v, asked %v", err, o.asked)
			}
			f, lookErr := lookAt(file)
			if lookErr != nil || len(f.sum) != 64 || f.size != 9 {
				t.Fatalf("%+v %v", f, lookErr)
			}
			if len(c.args) == 0 && (!strings.Contains(errs, f.sum) || !strings.Contains(errs, f.owner) || !strings.Contains(errs, "9 B")) {
				t.Errorf("the operator does not see what is to be trusted: %s", errs)
			}
			if !c.sent {
				if fault.KindOf(err) != fault.Denied || fault.Next(err) == "" {
					t.Errorf("%v", err)
				}
				return
			}
			var sent struct{ Path, SHA256 string }
			if json.Unmarshal([]byte(o.body), &sent) != nil || sent.Path != f.path || sent.SHA256 != f.sum {
				t.Errorf("sent %s", o.body)
			}
			if !strings.Contains(out, "next: tresor plugin set beacon") {
				t.Errorf("%s", out)
			}
		})
	}
}

func TestTrustRefusesWhatIsNoFile(t *testing.T) {
	o := &office{}
	for _, name := range []string{t.TempDir(), "no-such-file"} {
		if _, _, err := o.run(t, newPlugin, "y\n", "trust", name); err == nil || len(o.asked) > 0 {
			t.Errorf("%s: %v %v", name, err, o.asked)
		}
	}
}

func TestTestsPrintEveryStep(t *testing.T) {
	o := &office{answers: map[string]string{
		"POST /plugins/good/test":          `{"steps":[{"name":"clock","ok":true,"detail":"in time"},{"name":"TLS","ok":true,"detail":"1.3"}]}`,
		"POST /plugins/bad/test":           `{"steps":[{"name":"clock","ok":true,"detail":"in time"},{"name":"TLS","ok":false,"detail":"expired\u001b[2J","next":"Renew it."},{"name":"after","ok":false,"detail":"x"}]}`,
		"POST /federation/hubs/north/test": `{"steps":[{"name":"DNS","ok":true,"detail":"found"}]}`,
	}}
	out, _, err := o.run(t, newPlugin, "", "test", "good")
	if err != nil || out != "✓ clock: in time\n✓ TLS: 1.3\n" {
		t.Errorf("%q %v", out, err)
	}
	out, _, err = o.run(t, newPlugin, "", "test", "bad")
	if fault.KindOf(err) != fault.Unavailable || fault.Next(err) != "Renew it." || !strings.Contains(out, "✗ TLS: expired") || !strings.Contains(out, "✗ after") || strings.Contains(out, "\x1b") {
		t.Errorf("%q %v", out, err)
	}
	if out, _, err = o.run(t, newFederation, "", "test", "north"); err != nil || out != "✓ DNS: found\n" {
		t.Errorf("%q %v", out, err)
	}
}

func TestSettingsKeepWhatIsNotNamed(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, in string
		args     []string
		want     string
	}{
		{"one value", "", []string{"url=https://new"}, `{"settings":{"token":"","url":"https://new"}}`},
		{"a value with an equals sign", "", []string{"url=https://new?a=b"}, `{"settings":{"token":"","url":"https://new?a=b"}}`},
		{"a secret from a file", "", []string{"token=@" + secret}, `{"settings":{"token":"hunter2","url":"https://old"}}`},
		{"a secret from standard input", "hunter3\n", []string{"token=@-"}, `{"settings":{"token":"hunter3","url":"https://old"}}`},
		{"a secret is taken away", "", []string{"token="}, `{"settings":{"url":"https://old"}}`},
		{"a value is emptied", "", []string{"url="}, `{"settings":{"token":"","url":""}}`},
		{"refused: no equals sign", "", []string{"url"}, ""},
		{"refused: no such file", "", []string{"token=@/none"}, ""},
		{"refused: too long", strings.Repeat("x", valueMax+1), []string{"token=@-"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &office{answers: map[string]string{"GET /plugins/beacon": pluginJSON, "PUT /plugins/beacon/settings": pluginJSON}}
			out, _, err := o.run(t, newPlugin, c.in, append([]string{"set", "beacon"}, c.args...)...)
			if c.want == "" {
				if err == nil || len(o.asked) > 1 {
					t.Errorf("%v %v", err, o.asked)
				}
				return
			}
			if err != nil || o.body != c.want {
				t.Errorf("sent %s, want %s (%v)", o.body, c.want, err)
			}
			if strings.Contains(out, "hunter") || !strings.Contains(out, "(set)") {
				t.Errorf("%s", out)
			}
		})
	}
}

func TestTokensStandAlone(t *testing.T) {
	o := &office{answers: map[string]string{
		"POST /tokens": `{"token":"trs_abc","slug":"aurora","expires_at":"2027-01-01T00:00:00Z"}`,
		"POST /federation/principals/nextflow/token": `{"token":"trs_def"}`,
	}}
	out, errs, err := o.run(t, newToken, "", "new", "laptop", "--project", "aurora", "--days", "7")
	if err != nil || out != "trs_abc\n" || !strings.Contains(errs, "shown once") || o.body != `{"days":7,"name":"laptop","project":"aurora"}` {
		t.Errorf("%q %q %v %s", out, errs, err, o.body)
	}
	if out, _, err = o.run(t, newOutside, "", "token", "nextflow"); err != nil || out != "trs_def\n" {
		t.Errorf("%q %v", out, err)
	}
}

func TestQuotasKeepWhatIsNotNamed(t *testing.T) {
	const p = `{"slug":"north","kind":"hub","quotas":{"tasks_per_hour":100,"open_tasks":20,"cores":4}}`
	o := &office{answers: map[string]string{"GET /federation/principals/north": p, "PATCH /federation/principals/north": p}}
	if _, _, err := o.run(t, newFederation, "", "change", "north", "--cores", "2"); err != nil || o.body != `{"quotas":{"cores":2,"open_tasks":20,"tasks_per_hour":100}}` {
		t.Errorf("%s %v", o.body, err)
	}
	if _, _, err := o.run(t, newFederation, "", "change", "north", "--publishes=false", "--name", "North"); err != nil || o.body != `{"name":"North","publishes":false}` {
		t.Errorf("%s %v", o.body, err)
	}
	for flag, want := range map[string]string{"tes,beacon": `{"plugins":["tes","beacon"]}`, "none": `{"plugins":[]}`} {
		if _, _, err := o.run(t, newFederation, "", "change", "north", "--plugin", flag); err != nil || o.body != want {
			t.Errorf("%s %v", o.body, err)
		}
	}
	if _, _, err := o.run(t, newFederation, "", "change", "north"); err == nil {
		t.Error("nothing to change")
	}
}

func TestLendingNamesASponsor(t *testing.T) {
	o := &office{answers: map[string]string{"GET /people": `{"items":[{"id":"p1","handle":"rosa"}]}`,
		"PUT /federation/principals/north/projects/aurora": `{"kind":"hub","slug":"north","projects":[{"slug":"aurora","sponsor":{"handle":"rosa"},"datasets":["*"],"dataset_names":["*"],"by":"lena"}]}`}}
	out, _, err := o.run(t, newFederation, "", "project", "north", "aurora", "--sponsor", "rosa", "--dataset", "*")
	if err != nil || o.body != `{"datasets":["*"],"sponsor":"p1"}` || !strings.Contains(out, "all that the project is granted") {
		t.Errorf("%s %v\n%s", o.body, err, out)
	}
	if _, _, err := o.run(t, newFederation, "", "project", "north", "aurora"); fault.KindOf(err) != fault.Invalid || fault.Next(err) == "" {
		t.Errorf("%v", err)
	}
	if _, _, err := o.run(t, newFederation, "", "project", "north", "aurora", "--sponsor", "nobody"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
}

func TestTheBrake(t *testing.T) {
	o := &office{answers: map[string]string{"POST /federation/pause": `{"name":"node","paused":true}`, "POST /federation/principals/north/pause": `{"kind":"hub","slug":"north","state":"active","paused":false}`}}
	out, _, err := o.run(t, newFederation, "", "pause", "--reason", "it floods us")
	if err != nil || o.body != `{"paused":true,"reason":"it floods us"}` || !strings.Contains(out, "running work goes on") {
		t.Errorf("%s %v %s", o.body, err, out)
	}
	if out, _, err = o.run(t, newFederation, "", "resume", "north"); err != nil || o.body != `{"paused":false,"reason":""}` || !strings.Contains(out, "active") {
		t.Errorf("%s %v %s", o.body, err, out)
	}
}

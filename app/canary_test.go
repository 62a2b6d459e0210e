package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/dataset"
	"tresor/embed/demo"
	"tresor/fed/fedtest"
	"tresor/sandbox/fake"
)

// canaries are texts that stand nowhere but where they were planted.
type canaries struct{ all []string }

func (c *canaries) next() string {
	s := fmt.Sprintf("cnry%012x", rand.Uint64()>>16)
	c.all = append(c.all, s)
	return s
}

func (c *canaries) lines(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(c.next() + "\n")
	}
	return b.String()
}

// TestNoCanaryReachesAHub plants a thousand secrets in data, in unreleased outputs
// and their names, in what programs print and in why they failed, lets a hub ask for
// everything that it can ask for, and looks for them in every byte of the link and
// in the server's log at its most talkative.
func TestNoCanaryReachesAHub(t *testing.T) {
	r := newFederation(t)
	r.olga.Must("POST", "/federation/hubs/"+r.principal+"/confirm", nil, nil)
	c := &canaries{}
	r.plantDataset(t, c)
	r.lend(t)
	r.olga.Must("PATCH", "/federation/principals/"+r.principal, map[string]any{"publishes": true}, nil)
	r.engine.Handle("leak", func(ctx context.Context, task *fake.Task) int {
		fmt.Fprint(task.Log, c.lines(100))
		fmt.Fprint(task.Err, c.lines(100))
		_ = task.WriteFile("/work/out/result.csv", []byte(c.lines(100)))
		for range 50 {
			_ = task.WriteFile("/work/out/"+c.next()+".txt", []byte(c.next()))
		}
		return 0
	})
	r.engine.Handle("fail", func(ctx context.Context, task *fake.Task) int {
		fmt.Fprint(task.Log, c.lines(50))
		fmt.Fprint(task.Err, "cannot open /data/"+c.next()+": "+c.lines(50))
		_ = task.WriteFile("/work/out/"+c.next()+".txt", []byte(c.next()))
		return 3
	})
	image := r.builtinImage(t)
	body := func(name, command string, outputs string) string {
		return fmt.Sprintf(`{"name":%q,"executors":[{"image":%q,"command":[%q],"stdout":"/work/out/stdout.txt","stderr":"/work/out/stderr.txt"}],
			"inputs":[{"url":"tresor://dataset/canaries","path":"/data/c","type":"DIRECTORY"}],"outputs":%s}`, name, image, command, outputs)
	}
	tasks := []string{
		body("held", "leak", `[{"url":"https://hub.test/out/","path":"/work/out/*","path_prefix":"/work/out"}]`),
		body("inside", "leak", `[{"url":"file:///project/kept/","path":"/work/out","type":"DIRECTORY"}]`),
		body("failed", "fail", `[{"url":"https://hub.test/r","path":"/work/out/result.csv"}]`),
		body("missing", "leak", `[{"url":"https://hub.test/r","path":"/work/out/no-such-file"}]`),
		body("no program", "none", `[]`),
	}
	for i, b := range tasks {
		a := r.order(fmt.Sprint("canary-", i), "POST", "/v1/tasks", b)
		var made struct{ ID string }
		if err := json.Unmarshal(a.Body, &made); err != nil || made.ID == "" {
			t.Fatalf("%s: %d %s", b, a.Status, a.Body)
		}
		settled := func() bool {
			_, body := r.get("/ga4gh/tes/v1/tasks/" + made.ID)
			if strings.Contains(body, `"QUEUED"`) || strings.Contains(body, `"INITIALIZING"`) {
				return false
			}
			var jobs struct {
				Items []struct{ State string }
			}
			r.olga.Must("GET", "/jobs", nil, &jobs)
			for _, j := range jobs.Items {
				if j.State == "running" || j.State == "collecting" || j.State == "preparing" {
					return false
				}
			}
			return true
		}
		fedtest.Until(t, "the task ran: "+b, settled)
		r.askAll(made.ID)
	}
	if len(c.all) < 1000 {
		t.Errorf("only %d canaries were planted", len(c.all))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for where, b := range map[string][]byte{"the link": r.wire.Bytes(), "the server's log": r.log.Bytes()} {
		if len(b) < 2_000 {
			t.Errorf("%s has only %d bytes: it is not what it should be", where, len(b))
		}
		found := 0
		for _, s := range c.all {
			if i := bytes.Index(b, []byte(s)); i >= 0 {
				if found++; found < 4 {
					t.Errorf("in %s: …%q…", where, b[max(0, i-200):min(len(b), i+60)])
				}
			}
		}
		if found > 0 {
			t.Errorf("%d of %d canaries are in %s", found, len(c.all), where)
		}
	}
	if !bytes.Contains(r.wire.Bytes(), []byte("Canary data")) || !bytes.Contains(r.wire.Bytes(), []byte(`"name":"held"`)) {
		t.Error("the record of the link lacks what did cross it")
	}
	t.Logf("%d canaries, %d bytes of the link, %d bytes of log", len(c.all), r.wire.Len(), r.log.Len())
}

// askAll asks for everything about a task, and for much that is not there.
func (r *fedRig) askAll(id string) {
	for _, p := range []string{"/v1/tasks/" + id, "/v1/tasks/" + id + "?view=BASIC", "/v1/tasks/" + id + "?view=FULL", "/v1/tasks?view=FULL", "/v1/tasks?view=FULL&name_prefix=h",
		"/v1/service-info", "/releases/" + id, "/releases/" + id + "/work/out/result.csv", "/v1/tasks/" + id + "/logs", "/../../jobs/" + id, "/v1/tasks/" + id + "%00"} {
		r.get("/ga4gh/tes" + p)
	}
	for _, p := range []string{"/catalogue", "/ping", "/api/v1/jobs/" + id, "/metrics", "/ga4gh/loopback/x"} {
		r.get(p)
	}
	r.order("cancel-"+id, "POST", "/v1/tasks/"+id+":cancel", "")
	r.order("bad-"+id, "POST", "/v1/tasks", `{"executors":[{"image":"x","command":["y"]}],"inputs":[{"url":"tresor://dataset/canaries/no-such-file","path":"/x"}]}`)
	r.order("file-"+id, "POST", "/v1/tasks", `{"executors":[{"image":"x","command":["y"]}],"inputs":[{"url":"file:///project/kept","path":"/x"}]}`)
	r.order("path-"+id, "POST", "/v1/tasks", `{"executors":[{"image":"x","command":["y"]}],"inputs":[{"url":"file:///etc/passwd","path":"/x"}]}`)
}

// plantDataset grants the demonstration's project data that is all canaries.
func (r *fedRig) plantDataset(t *testing.T, c *canaries) {
	t.Helper()
	var csv strings.Builder
	csv.WriteString("person,word,amount\n")
	for i := range 300 {
		fmt.Fprintf(&csv, "%s,%s,%d\n", c.next(), c.next(), i)
	}
	ctx := t.Context()
	if _, err := r.App.Datasets.Register(ctx, access.System, dataset.Draft{Slug: "canaries", Name: "Canary data", Description: "For a test.", Controller: "The test", Licence: "none", Source: "the test"}); err != nil {
		t.Fatal(err)
	}
	_, err := r.App.Datasets.Ingest(ctx, access.System, "canaries", []dataset.Source{{Name: "canaries.csv", Size: int64(csv.Len()),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(csv.String())), nil }}}, dataset.Ingestion{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.App.Projects.Grant(ctx, access.System, demo.ProjectSlug, "canaries"); err != nil {
		t.Fatal(err)
	}
}

// builtinImage is an approved image that the fake engine has.
func (r *fedRig) builtinImage(t *testing.T) string {
	t.Helper()
	var list struct {
		Items []struct {
			Digest, State string
			Names         []string
		}
	}
	fedtest.Until(t, "the built-in image is there", func() bool {
		r.olga.Must("GET", "/images", nil, &list)
		return len(list.Items) > 0 && list.Items[0].State == "approved"
	})
	return list.Items[0].Digest
}

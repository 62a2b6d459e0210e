package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tresor/app/job"
	"tresor/plugins/protocol"
)

// drsAnswer is a description of an object with ways to its bytes.
func drsAnswer(sum string, ways ...string) http.HandlerFunc {
	sums := ""
	if sum != "" {
		sums = `"checksums":[{"type":"md5","checksum":"00"},{"type":"sha-256","checksum":"` + sum + `"}],`
	}
	return text(`{` + sums + `"access_methods":[` + strings.Join(ways, ",") + `]}`)
}

func drsURL(kind, at string) string {
	return fmt.Sprintf(`{"type":%q,"access_url":{"url":%q}}`, kind, at)
}

// TestDRSWays: the bytes of an object come from an address on the list, however its
// description names it, and are those that it promises.
func TestDRSWays(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	const drs, file = "drs.example.org/ga4gh/drs/v1/objects/", "a,b\n1,2\n"
	sum := digest([]byte(file))
	h.world(t, map[string]http.HandlerFunc{
		"data.example.org/public/x.csv":  text(file),
		"store.example.org/bucket/ref/x": text(file),
		drs + "s3":                       drsAnswer(sum, drsURL("s3", "s3://bucket/ref/x")),
		drs + "by-id":                    drsAnswer(strings.ToUpper(sum), `{"type":"https","access_id":"way-1"}`),
		drs + "by-id/access/way-1":       text(`{"url":"https://data.example.org/public/x.csv"}`),
		drs + "second":                   drsAnswer("", `{"type":"https","access_id":"closed"}`, drsURL("https", "https://other.example.org/x"), drsURL("https", "https://data.example.org/public/x.csv")),
		drs + "other-bytes":              drsAnswer(digest([]byte("others")), drsURL("https", "https://data.example.org/public/x.csv")),
		drs + "other-bucket":             drsAnswer(sum, drsURL("s3", "s3://others/ref/x")),
		drs + "away":                     drsAnswer(sum, `{"type":"https","access_id":"way-1"}`),
		drs + "away/access/way-1":        text(`{"url":"https://other.example.org/x"}`),
		drs + "loop":                     drsAnswer(sum, drsURL("drs", "drs://drs.example.org/s3")),
		drs + "none":                     drsAnswer(sum),
	})
	h.allow(Source{Prefix: "https://data.example.org/public/"}, Source{Prefix: "s3://bucket/ref/", Endpoint: "https://store.example.org"},
		Source{Prefix: "drs://drs.example.org/", Endpoint: "https://drs.example.org"})
	for id, code := range map[string]string{"s3": "", "by-id": "", "second": "", "other-bytes": CodeMalformed, "other-bucket": CodeSource, "away": CodeSource, "loop": CodeSource, "none": CodeSource} {
		r := request("sleep")
		r.Inputs = []protocol.Input{{Path: "/work/in/x.csv", Source: "drs://drs.example.org/" + id}}
		st, err := h.host(who).Submit(ctx, r)
		if code != "" {
			h.wantRefusal(err, code, "drs://drs.example.org/"+id)
			continue
		}
		h.must(err)
		j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
		h.must(err)
		if got := j.Places[0]; got.SHA256 != sum || got.Origin != "drs://drs.example.org/"+id {
			t.Errorf("%s: %+v", id, got)
		}
	}
}

// TestRedirectStaysInABucket: an endpoint holds more than the list allows of it.
func TestRedirectStaysInABucket(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	h.world(t, map[string]http.HandlerFunc{
		"data.example.org/public/other":  redirect("https://store.example.org/private/x"),
		"data.example.org/public/above":  redirect("https://store.example.org/bucket/x"),
		"data.example.org/public/same":   redirect("https://store.example.org/bucket/ref/x"),
		"store.example.org/private/x":    text("CANARY"),
		"store.example.org/bucket/x":     text("CANARY"),
		"store.example.org/bucket/ref/x": text("good"),
	})
	h.allow(Source{Prefix: "https://data.example.org/public/"}, Source{Prefix: "s3://bucket/ref/", Endpoint: "https://store.example.org"})
	for name, code := range map[string]string{"other": CodeSource, "above": CodeSource, "same": ""} {
		r := request("sleep")
		r.Inputs = []protocol.Input{{Path: "/work/in/x", Source: "https://data.example.org/public/" + name}}
		if _, err := h.host(who).Submit(ctx, r); code == "" {
			h.must(err)
		} else {
			h.wantRefusal(err, code, "")
		}
	}
}

// TestNothingIsFetchedOverQuota: who may send no more tasks makes the server fetch
// no more files, and neither does a program inside, ever.
func TestNothingIsFetchedOverQuota(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	h.run()
	fetched := 0
	h.world(t, map[string]http.HandlerFunc{"data.example.org/public/x": func(w http.ResponseWriter, _ *http.Request) { fetched++; fmt.Fprint(w, "x") }})
	h.allow(Source{Prefix: "https://data.example.org/public/"})
	q := Quotas{TasksPerHour: 10, OpenTasks: 1, Cores: 1}
	_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Quotas: &q})
	h.must(err)
	r := request("sleep")
	r.Inputs = []protocol.Input{{Path: "/work/in/x", Source: "https://data.example.org/public/x?said=secret"}}
	st := h.submit(who, r)
	_, err = h.host(who).Submit(ctx, r)
	h.wantRefusal(err, CodeQuota, "open task")
	h.until(who, st.ID, string(job.Running))
	inside := Caller{Kind: Inside, ID: st.ID}
	r.Outputs = nil
	_, err = h.host(inside).Submit(ctx, r)
	h.wantRefusal(err, CodeSource, "A program inside")
	_, err = h.host(inside).Fetch(ctx, protocol.Request{Method: "GET", Path: "https://data.example.org/public/x"})
	h.wantRefusal(err, CodeSource, "A program inside")
	if fetched != 1 {
		t.Errorf("%d files were fetched", fetched)
	}
}

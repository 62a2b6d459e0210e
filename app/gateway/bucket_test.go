package gateway

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"tresor/app/job"
	"tresor/plugins/protocol"
)

// TestAFolderOfABucket: its files are fetched one by one, signed, and pinned.
func TestAFolderOfABucket(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	k := awsKey{"lab-reader", "s", "us-east-1"}
	o := h.realStore(k)
	h.give("s3://lab/in/", Credential{AccessKey: k.id, SecretKey: k.secret})
	o.has = []string{"in/", "in/run/", "in/run/a b+c.csv", "in/run/deep/", "in/run/deep/ä.csv", "in/runner.csv", "other/x"}
	for _, source := range []string{"s3://lab/in/run", "s3://lab/in/run/"} {
		r := request("sleep")
		r.Inputs = []protocol.Input{{Path: "/work/in", Source: source, Directory: true}, {Path: "/work/script", HasContent: true, Content: []byte("x")}}
		j, err := h.jobs.Get(ctx, h.as("lena"), h.submit(who, r).ID)
		h.must(err)
		var got []string
		for _, p := range j.Places {
			got = append(got, p.Path+" "+p.Origin+" "+p.SHA256)
		}
		sum := func(s string) string { return digest([]byte(s)) }
		want := []string{"/work/in/a b+c.csv s3://lab/in/run/a%20b+c.csv " + sum("/lab/in/run/a b+c.csv"), "/work/in/deep/ä.csv s3://lab/in/run/deep/%C3%A4.csv " + sum("/lab/in/run/deep/ä.csv"), "/work/script  " + sum("x")}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q", source, got)
		}
	}
	if n := h.number(`SELECT count(*) FROM gateway_ledger WHERE principal = ? AND what = ?`, p.ID, WhatFetched); n != 4 {
		t.Errorf("%d lines in the ledger", n)
	}
	for i := range mostListed + 1 {
		o.has = append(o.has, fmt.Sprintf("in/many/%03d", i))
	}
	for source, c := range map[string]struct{ code, text string }{
		"s3://lab/in/many":     {CodeTooLarge, "more than 200 files"},
		"s3://lab/in/none":     {CodeMalformed, "no file in the folder"},
		"s3://lab/other":       {CodeSource, "not one that this server fetches from"},
		"https://lab.example/": {CodeSource, "has no folders"},
	} {
		r := request("sleep")
		r.Inputs = []protocol.Input{{Path: "/work/in", Source: source, Directory: true}}
		_, err := h.host(who).Submit(ctx, r)
		h.wantRefusal(err, c.code, c.text)
	}
	o.has = o.has[:len(o.has)-1]
	r := request("sleep")
	r.Inputs = []protocol.Input{{Path: "/work/in", Source: "s3://lab/in/many", Directory: true}}
	h.submit(who, r)
}

// TestListings: what a store may say of a folder, and what it may not.
func TestListings(t *testing.T) {
	p := job.Place{Path: "/work/in/", Directory: true, Origin: "s3://lab/in/"}
	key := func(keys ...string) string {
		return "<ListBucketResult><Contents><Key>" + strings.Join(keys, "</Key></Contents><Contents><Key>") + "</Key></Contents></ListBucketResult>"
	}
	for name, c := range map[string]struct{ body, want string }{
		"plain":             {key("in/a+b%20c"), "/work/in/a+b%20c"},
		"marks of folders":  {key("in/", "in/x/", "in/x/y"), "/work/in/x/y"},
		"outside":           {key("out/x"), CodeMalformed},
		"above":             {key("in/../../etc/passwd"), CodeMalformed},
		"above at the end":  {key("in/x/.."), CodeMalformed},
		"no path":           {key("in//x"), CodeMalformed},
		"a dot":             {key("in/./x"), CodeMalformed},
		"a backslash":       {key(`in/a\b`), CodeMalformed},
		"a bad escape":      {strings.Replace(key("in/%zz"), "<Contents>", "<EncodingType>url</EncodingType><Contents>", 1), CodeMalformed},
		"an escaped above":  {strings.Replace(key("in/%2e%2e/x"), "<Contents>", "<EncodingType>url</EncodingType><Contents>", 1), CodeMalformed},
		"there are more":    {strings.Replace(key("in/x"), "<Contents>", "<IsTruncated>true</IsTruncated><Contents>", 1), CodeTooLarge},
		"more than is said": {key(strings.Split(strings.Repeat("in/x,", mostListed)+"in/x", ",")...), CodeTooLarge},
		"nothing":           {"<ListBucketResult></ListBucketResult>", CodeMalformed},
	} {
		var l listing
		if err := xml.Unmarshal([]byte(c.body), &l); err != nil {
			t.Fatal(name, err)
		}
		u, _ := plainURL(p.Origin)
		list, err := l.below(p, u)
		if err != nil {
			if codeOf(err) != c.want {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if len(list) != 1 || list[0].Path != c.want {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// FuzzListing: whatever a store lists, each input lies in the place of its folder and
// comes from the folder that was asked for.
func FuzzListing(f *testing.F) {
	f.Add("<ListBucketResult><Contents><Key>in/x</Key></Contents></ListBucketResult>")
	f.Add("<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>in/%2e%2e/x</Key></Contents></ListBucketResult>")
	f.Add("<ListBucketResult><Contents><Key>in/&#0;</Key></Contents></ListBucketResult>")
	p := job.Place{Path: "/work/in", Directory: true, Origin: "s3://lab/in/"}
	u, err := plainURL(p.Origin)
	if err != nil {
		f.Fatal(err)
	}
	src := Source{Prefix: p.Origin}
	f.Fuzz(func(t *testing.T, body string) {
		var l listing
		if xml.Unmarshal([]byte(body), &l) != nil {
			return
		}
		list, err := l.below(p, u)
		if err != nil {
			return
		}
		for _, x := range list {
			if !strings.HasPrefix(x.Path, "/work/in/") || strings.Contains(x.Path+"/", "/../") || x.Directory {
				t.Errorf("%q goes to %q", body, x.Path)
			}
			if at, err := plainURL(x.Origin); err == nil && !src.covers(at) {
				t.Errorf("%q comes from %q", body, x.Origin)
			}
		}
	})
}

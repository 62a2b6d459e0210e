package tes_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// walk follows the tokens and gives the ids in order and the sizes of the pages.
func (d *door) walk(query string) (ids []string, pages []int) {
	d.t.Helper()
	token := ""
	for {
		body := d.get("/v1/tasks?" + query + "&page_token=" + url.QueryEscape(token))
		tasks, _ := protocoltest.At(d.t, body, "tasks").([]any)
		pages = append(pages, len(tasks))
		for _, task := range tasks {
			ids = append(ids, task.(map[string]any)["id"].(string))
		}
		next, _ := protocoltest.At(d.t, body, "next_page_token").(string)
		if next == "" {
			return ids, pages
		}
		if len(pages) > 1000 {
			d.t.Fatal("the chain of pages has no end")
		}
		token = next
	}
}

func (d *door) fill(n int) {
	d.t.Helper()
	for i := range n {
		d.create(fmt.Sprintf(`{"name":"task-%03d","tags":{"n":"%d","parity":"%d"},"executors":[{"image":"i","command":["a"]}]}`, i, i, i%2))
	}
}

func TestPagesChain(t *testing.T) {
	for name, c := range map[string]struct {
		tasks, most int
		query       string
		pages       string
	}{
		"no task":           {0, 0, "", "[0]"},
		"fewer than a page": {3, 0, "page_size=5", "[3]"},
		"no token after an exactly full last page": {10, 0, "page_size=5", "[5 5]"},
		"one page exactly":                         {5, 0, "page_size=5", "[5]"},
		"a rest":                                   {11, 0, "page_size=5", "[5 5 1]"},
		"one by one":                               {3, 0, "page_size=1", "[1 1 1]"},
		"the default is 256":                       {300, 0, "", "[256 44]"},
		"the largest":                              {300, 0, "page_size=2047", "[300]"},
		"the host sends less than asked":           {20, 3, "page_size=10", "[2 2 2 2 2 2 2 2 2 2]"},
		"the host sends one at a time":             {3, 1, "page_size=10", "[1 1 1]"},
		"filtered":                                 {11, 0, "page_size=2&tag_key=parity&tag_value=1", "[2 2 1]"},
		"filtered, exactly full":                   {12, 0, "page_size=3&tag_key=parity&tag_value=1", "[3 3]"},
		"in FULL":                                  {7, 0, "page_size=3&view=FULL", "[3 3 1]"},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.fill(c.tasks)
			d.host.most = c.most
			ids, pages := d.walk(c.query)
			if fmt.Sprint(pages) != c.pages {
				t.Errorf("pages %v, want %s", pages, c.pages)
			}
			seen := map[string]bool{}
			for i, id := range ids {
				if seen[id] || i > 0 && id > ids[i-1] {
					t.Errorf("%s stands twice or not newest first", id)
				}
				seen[id] = true
			}
		})
	}
}

func TestAPageThatWouldBeTooLargeHoldsFewer(t *testing.T) {
	d := open(t)
	for range 30 {
		d.create(task(`"inputs":[{"path":"/a","content":"` + strings.Repeat("c", 200<<10) + `"}]`))
	}
	ids, pages := d.walk("view=FULL&page_size=2000")
	if len(ids) != 30 || len(pages) < 3 {
		t.Errorf("%d tasks in pages %v", len(ids), pages)
	}
	if ids, pages := d.walk("view=BASIC&page_size=2000"); len(ids) != 30 || len(pages) != 1 {
		t.Errorf("BASIC has no content, but %d tasks in pages %v", len(ids), pages)
	}
	if r := d.send("GET", "/v1/tasks?view=FULL", ""); len(r.body) > protocol.MaxMessage/2 {
		t.Errorf("a page of %d bytes", len(r.body))
	}
}

func TestFilters(t *testing.T) {
	d := open(t)
	for _, tags := range []string{`{"foo":"bar"}`, `{"foo":"bat"}`, `{"foo":""}`, `{"foo":"bar","baz":"bat"}`, `{}`} {
		name := strings.ReplaceAll(`n`+tags[1:2], `"`, `\"`)
		d.create(task(`"name":"` + name + `","tags":` + tags))
	}
	for query, want := range map[string]string{
		"":                          "54321",
		"tag_key=foo&tag_value=bar": "41",
		"tag_key=foo&tag_value=":    "4321",
		"tag_key=foo":               "4321",
		"tag_key=foo&tag_value=bar&tag_key=baz&tag_value=bat":             "4",
		"tag_key=foo&tag_key=baz&tag_value=bar&tag_value=bat":             "4",
		"tag_key=foo&tag_key=baz&tag_key=foo&tag_value=bar&tag_value=bat": "4", // three keys and two values
		"tag_key=foo&tag_key=baz&tag_value=&tag_value=bat":                "4",
		"tag_key=absent":                         "",
		"tag_key=FOO":                            "",
		"tag_key=foo&tag_value=ba":               "",
		"tag_key=&tag_value=":                    "54321",
		"name_prefix=n":                          "54321",
		"name_prefix=n%22":                       "4321",
		"name_prefix=%25":                        "",
		"name_prefix=N":                          "",
		"state=QUEUED&tag_key=foo&tag_value=bat": "2",
		"state=COMPLETE":                         "",
		"state=&name_prefix=&page_size=&view=":   "54321",
		"unknown=1":                              "54321",
		"name_prefix=n&state=QUEUED&tag_key=baz": "4",
	} {
		ids, _ := d.walk(query)
		got := ""
		for _, id := range ids {
			got += id[len(id)-1:]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func TestListRefuses(t *testing.T) {
	d := open(t)
	d.fill(3)
	token, _ := protocoltest.At(t, d.get("/v1/tasks?page_size=1"), "next_page_token").(string)
	filtered, _ := protocoltest.At(t, d.get("/v1/tasks?page_size=1&name_prefix=task"), "next_page_token").(string)
	flipped := []byte(token)
	flipped[len(flipped)-3]++
	tags := strings.Repeat("tag_key=a&", 51)
	for query, says := range map[string]string{
		"page_size=0":                       "page_size: Ask for a whole number from 1 to 2047",
		"page_size=-1":                      "1 to 2047",
		"page_size=2048":                    "1 to 2047",
		"page_size=99999999999999999999":    "1 to 2047",
		"page_size=ten":                     "1 to 2047",
		"page_size=1.0":                     "1 to 2047",
		"page_size=%2B5%20":                 "1 to 2047",
		"page_size=1&page_size=2":           "more than once",
		"page_token=garbage":                "page_token: This is no token of this list",
		"page_token=" + token + "A":         "no token of this list",
		"page_token=" + string(flipped):     "no token of this list",
		"page_token=" + token[1:]:           "no token of this list",
		"page_token=%00":                    "not UTF-8",
		"name_prefix=x&page_token=" + token: "with the same name_prefix",
		"page_token=" + filtered:            "with the same name_prefix",
		"state=QUEUED&page_token=" + token:  "no token of this list",
		"state=PAUSED&page_token=" + token:  "no token of this list",
		"tag_key=n&page_token=" + token:     "no token of this list",
		"page_token=" + base64.RawURLEncoding.EncodeToString([]byte("2")): "no token of this list",
		"state=WAITING":                     `state: There is no state "WAITING"`,
		"state=queued":                      "There is no state",
		"tag_value=a":                       "more values than keys",
		"tag_key=a&tag_value=b&tag_value=c": "more values than keys",
		"tag_key=&tag_value=b":              "without its tag_key",
		"tag_key=%ff":                       "not UTF-8",
		"tag_key=a&tag_value=%00":           "not UTF-8",
		"name_prefix=%ff":                   "not UTF-8",
		"view=%zz":                          "cannot be read",
		"a;b":                               "cannot be read",
		tags:                                "At most 50 conditions",
		"name_prefix=" + strings.Repeat("n", 33<<10): "too long",
	} {
		d.refuses(400, says, "GET", "/v1/tasks?"+query, "")
	}
	d.get("/v1/tasks?page_size=2&view=FULL&page_token=" + token) // size and view may change on the way
	d.host = d.host.as("p2")
	d.refuses(400, "no token of this list", "GET", "/v1/tasks?page_token="+token, "")
}

func TestTheHostIsAskedForNoMoreThanTheViewNeeds(t *testing.T) {
	d := open(t)
	d.fill(1)
	for view, want := range map[string]protocol.View{"": protocol.Minimal, "MINIMAL": protocol.Minimal, "BASIC": protocol.Basic, "FULL": protocol.Full} {
		d.get("/v1/tasks?view=" + view)
		if d.host.lastQuery.View != want || d.host.lastQuery.Limit != 256 {
			t.Errorf("%s: %+v", view, d.host.lastQuery)
		}
	}
}

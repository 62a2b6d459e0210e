package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

const executors = `"executors":[{"image":"debian:12","command":["true"]}]`

func body(members string) string { return "{" + members + "," + executors + "}" }

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ body, path, says string }{
		"empty body":             {"", "", "byte 0 it ends too early"},
		"no object":              {"[]", "", "The body is a list"},
		"two values":             {body(`"name":"x"`) + "{}", "", "behind the end"},
		"cut":                    {`{"name":"x"`, "", "comma or its end"},
		"no executors":           {`{"name":"x"}`, "executors", "at least one executor"},
		"empty executors":        {`{"executors":[]}`, "executors", "at least one"},
		"null executors":         {`{"executors":null}`, "executors", "at least one"},
		"executors an object":    {`{"executors":{}}`, "executors", "This is an object; write a list"},
		"executor null":          {`{"executors":[null]}`, "executors[0]", "This is null; write an object"},
		"no image":               {`{"executors":[{"command":["a"]}]}`, "executors[0].image", "required"},
		"image a number":         {`{"executors":[{"image":1,"command":["a"]}]}`, "executors[0].image", "a number; write it as text in quotes"},
		"no command":             {`{"executors":[{"image":"i"}]}`, "executors[0].command", "begins with the program"},
		"command a shell line":   {`{"executors":[{"image":"i","command":"echo hi"}]}`, "executors[0].command", "This is a string; write a list"},
		"empty program":          {`{"executors":[{"image":"i","command":[""]}]}`, "executors[0].command", "begins with the program"},
		"argument a number":      {`{"executors":[{"image":"i","command":["a",1]}]}`, "executors[0].command[1]", "in quotes"},
		"argument with NUL":      {`{"executors":[{"image":"i","command":["a","\u0000"]}]}`, "executors[0].command[1]", "NUL"},
		"second executor":        {`{"executors":[{"image":"i","command":["a"]},{"image":"i","command":["a"],"workdir":"w"}]}`, "executors[1].workdir", "begin with a slash"},
		"relative stdin":         {`{"executors":[{"image":"i","command":["a"],"stdin":"in"}]}`, "executors[0].stdin", "begin with a slash"},
		"stdout a folder":        {`{"executors":[{"image":"i","command":["a"],"stdout":"/out/"}]}`, "executors[0].stdout", "ends with a slash"},
		"stderr climbs":          {`{"executors":[{"image":"i","command":["a"],"stderr":"/a/../b"}]}`, "executors[0].stderr", "climbs"},
		"ignore_error in quotes": {`{"executors":[{"image":"i","command":["a"],"ignore_error":"true"}]}`, "executors[0].ignore_error", "without quotes"},
		"env a list":             {`{"executors":[{"image":"i","command":["a"],"env":["A=b"]}]}`, "executors[0].env", "write an object"},
		"env value a number":     {`{"executors":[{"image":"i","command":["a"],"env":{"A":1}}]}`, `executors[0].env["A"]`, "in quotes"},
		"env name with equals":   {`{"executors":[{"image":"i","command":["a"],"env":{"A=B":"1"}}]}`, `executors[0].env["A=B"]`, "equals sign"},
		"env name empty":         {`{"executors":[{"image":"i","command":["a"],"env":{"":"1"}}]}`, `executors[0].env[""]`, "1 to"},
		"name with a line break": {body(`"name":"a\nb"`), "name", "control character"},
		"name that turns round":  {body(`"name":"a\u202eb"`), "name", "control character"},
		"name with an isolate":   {body(`"name":"a\u2067b"`), "name", "control character"},
		"image that turns round": {`{"executors":[{"image":"i\u202e","command":["a"]}]}`, "executors[0].image", "control character"},
		"name an object":         {body(`"name":{}`), "name", "an object; write it as text"},
		"input a string":         {body(`"inputs":["/a"]`), "inputs[0]", "a string; write an object"},
		"input without path":     {body(`"inputs":[{"url":"https://a/b"}]`), "inputs[0].path", "required"},
		"input without source":   {body(`"inputs":[{"path":"/a"}]`), "inputs[0]", "needs url or content"},
		"input path not clean":   {body(`"inputs":[{"path":"/a//b","content":"x"}]`), "inputs[0].path", "not clean"},
		"input path with a dot":  {body(`"inputs":[{"path":"/a/./b","content":"x"}]`), "inputs[0].path", "not clean"},
		"input path the root":    {body(`"inputs":[{"path":"/","type":"DIRECTORY","url":"x"}]`), "inputs[0].path", "root folder"},
		"input path with NUL":    {body(`"inputs":[{"path":"/a\u0000","content":"x"}]`), "inputs[0].path", "NUL"},
		"input path long part":   {body(`"inputs":[{"path":"/` + strings.Repeat("a", 256) + `","content":"x"}]`), "inputs[0].path", "255"},
		"folder with content":    {body(`"inputs":[{"path":"/a","content":"x","type":"DIRECTORY"}]`), "inputs[0].content", "folder cannot have content"},
		"content an object":      {body(`"inputs":[{"path":"/a","content":{}}]`), "inputs[0].content", "text in quotes"},
		"type in lower case":     {body(`"inputs":[{"path":"/a","content":"x","type":"file"}]`), "inputs[0].type", "FILE or DIRECTORY"},
		"output without url":     {body(`"outputs":[{"path":"/a"}]`), "outputs[0].url", "required"},
		"output without path":    {body(`"outputs":[{"url":"s3://a"}]`), "outputs[0].path", "required"},
		"wildcard, no prefix":    {body(`"outputs":[{"path":"/a/*","url":"s3://a"}]`), "outputs[0].path_prefix", "needs path_prefix"},
		"wildcard, other prefix": {body(`"outputs":[{"path":"/a/*","url":"s3://a","path_prefix":"/b"}]`), "outputs[0].path_prefix", "begins with path_prefix"},
		"wildcard in the prefix": {body(`"outputs":[{"path":"/a/*/b","url":"s3://a","path_prefix":"/a/*"}]`), "outputs[0].path_prefix", "no wildcard"},
		"volume the root":        {body(`"volumes":["/"]`), "volumes[0]", "root folder"},
		"volume relative":        {body(`"volumes":["a"]`), "volumes[0]", "begin with a slash"},
		"volume null":            {body(`"volumes":[null]`), "volumes[0]", "required"},
		"tag a number":           {body(`"tags":{"a":1}`), `tags["a"]`, "in quotes"},
		"tag null":               {body(`"tags":{"a":null}`), `tags["a"]`, "null; write it as text"},
		"tags a list":            {body(`"tags":[]`), "tags", "write an object"},
		"resources a list":       {body(`"resources":[]`), "resources", "write an object"},
		"half a core":            {body(`"resources":{"cpu_cores":1.5}`), "resources.cpu_cores", "whole number such as 4"},
		"cores in quotes":        {body(`"resources":{"cpu_cores":"4"}`), "resources.cpu_cores", "a string; write a whole number"},
		"less than no core":      {body(`"resources":{"cpu_cores":-1}`), "resources.cpu_cores", "from 0 to"},
		"cores beyond int32":     {body(`"resources":{"cpu_cores":1e300}`), "resources.cpu_cores", "from 0 to"},
		"ram in quotes":          {body(`"resources":{"ram_gb":"8"}`), "resources.ram_gb", "such as 1.5, without quotes"},
		"less than no ram":       {body(`"resources":{"ram_gb":-0.1}`), "resources.ram_gb", "from 0 to"},
		"ram without end":        {body(`"resources":{"ram_gb":1e999}`), "resources.ram_gb", "from 0 to"},
		"zones a string":         {body(`"resources":{"zones":"eu"}`), "resources.zones", "write a list"},
		"parameter a number":     {body(`"resources":{"backend_parameters":{"a":1}}`), `resources.backend_parameters["a"]`, "in quotes"},
		"key twice":              {body(`"name":"a","name":"b"`), "", `"name" stands a second time`},
		"key twice, escaped":     {body(`"name":"a","n\u0061me":"b"`), "", `"name" stands a second time`},
		"key twice, unknown":     {body(`"x":{"y":1,"y":1}`), "", "second time"},
		"not UTF-8":              {body("\"name\":\"\xff\""), "", "not UTF-8"},
		"not UTF-8 with escape":  {body("\"name\":\"\\n\xff\""), "", "not UTF-8"},
		"half a pair":            {body(`"name":"\ud800"`), "", "surrogate"},
		"half a pair and text":   {body(`"name":"\ud800x"`), "", "surrogate"},
		"second half alone":      {body(`"name":"\udc00"`), "", "surrogate"},
		"no such escape":         {body(`"name":"\x"`), "", "no such escape"},
		"raw control character":  {body("\"name\":\"a\nb\""), "", "control character stands in a string"},
		"single quotes":          {`{'name':'a'}`, "", "key in quotes"},
		"comma at the end":       {`{"executors":[{"image":"i","command":["a"],}]}`, "", "key in quotes"},
		"comma in a list":        {`{"executors":[1,]}`, "", "no JSON value"},
		"list goes on":           {`{"executors":[1,]2]}`, "", "no JSON value"},
		"leading zero":           {body(`"resources":{"cpu_cores":01}`), "", "comma or its end"},
		"NaN":                    {body(`"resources":{"ram_gb":NaN}`), "", "no JSON value"},
		"deep":                   {body(`"x":` + strings.Repeat("[", 10_000)), "", "32 deep"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTask([]byte(c.body))
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("taken, or another error: %v", err)
			}
			if p.Path != c.path || !strings.Contains(p.Text, c.says) || p.Large {
				t.Errorf("path %q, large %v, text %q", p.Path, p.Large, p.Text)
			}
		})
	}
}

func TestReadBounds(t *testing.T) {
	repeat := func(one string, n int) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":""`, i)
		}
		return b.String()[1:]
	}
	for name, c := range map[string]struct {
		body, path string
		large      bool
	}{
		"a name of 1 MB":       {body(`"name":"` + strings.Repeat("n", 1<<20) + `"`), "name", false},
		"a tag of 1 MB":        {body(`"tags":{"a":"` + strings.Repeat("n", 1<<20) + `"}`), `tags["a"]`, false},
		"a tag key of 1 MB":    {body(`"tags":{"` + strings.Repeat("n", 1<<20) + `":"a"}`), `tags["` + strings.Repeat("n", 60) + `"…]`, false},
		"10,000 executors":     {`{"executors":[` + repeat(`{"image":"i","command":["a"]}`, 10_000) + `]}`, "executors", false},
		"10,000 tags":          {body(`"tags":{` + many(10_000) + `}`), "tags", false},
		"10,000 variables":     {`{"executors":[{"image":"i","command":["a"],"env":{` + many(10_000) + `}}]}`, "executors[0].env", false},
		"10,000 inputs":        {body(`"inputs":[` + repeat(`{"path":"/a","content":""}`, 10_000) + `]`), "inputs", false},
		"10,000 arguments":     {`{"executors":[{"image":"i","command":[` + repeat(`"a"`, 10_000) + `]}]}`, "executors[0].command", false},
		"a 200 KB argument":    {`{"executors":[{"image":"i","command":["` + strings.Repeat("a", 200<<10) + `"]}]}`, "executors[0].command[0]", false},
		"content over 256 K":   {body(`"inputs":[{"path":"/a","content":"` + strings.Repeat("a", MaxContent+1) + `"}]`), "inputs[0].content", true},
		"a body over 2 MB":     {strings.Repeat(" ", MaxBody+1), "", true},
		"200,000 values":       {body(`"x":[` + repeat("1", 200_000) + `]`), "", true},
		"a path of 5 KB":       {body(`"volumes":["` + strings.Repeat("/aa", 2000) + `"]`), "volumes[0]", false},
		"100,000 unknown keys": {body(many(99_000) + `,"k0":""`), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTask([]byte(c.body))
			var p *Problem
			if !errors.As(err, &p) || p.Path != c.path || p.Large != c.large {
				t.Fatalf("%.300v", err)
			}
			if len(p.Error()) > 500 {
				t.Errorf("a message of %d bytes", len(p.Error()))
			}
		})
	}
	if task, err := ReadTask([]byte(body(`"inputs":[{"path":"/a","content":"` + strings.Repeat("é", MaxContent/2) + `"}]`))); err != nil || len(*task.Inputs[0].Content) != MaxContent {
		t.Errorf("content of exactly 256 KiB: %v", err)
	}
}

func TestReadIsLenient(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		check func(Task) bool
	}{
		"unknown keys are skipped":      {body(`"future":{"a":[1,{"b":null}]},"inputs":[{"path":"/a","content":"x","etag":1}]`), func(t Task) bool { return *t.Inputs[0].Content == "x" }},
		"the server's keys are skipped": {body(`"id":7,"state":"COMPLETE","logs":"no","creation_time":{}`), func(t Task) bool { return t.ID == "" && t.State == "" && t.Logs == nil && t.CreationTime == "" }},
		"null is absent":                {body(`"name":null,"inputs":null,"outputs":null,"resources":null,"volumes":null,"tags":null,"description":null`), func(t Task) bool { return t.Resources == nil && t.Tags == nil && t.Name == "" }},
		"null in resources":             {body(`"resources":{"cpu_cores":null,"ram_gb":null,"preemptible":null,"zones":null,"backend_parameters":null}`), func(t Task) bool { return t.Resources.CPUCores == 0 }},
		"null in an executor":           {`{"executors":[{"image":"i","command":["a"],"workdir":null,"env":null,"stdin":null,"ignore_error":null}]}`, func(t Task) bool { return t.Executors[0].Workdir == "" }},
		"empty workdir":                 {`{"executors":[{"image":"i","command":["a"],"workdir":"","stdin":""}]}`, func(t Task) bool { return t.Executors[0].Stdin == "" }},
		"workdir the root":              {`{"executors":[{"image":"i","command":["a"],"workdir":"/"}]}`, func(t Task) bool { return t.Executors[0].Workdir == "/" }},
		"a folder may end with a slash": {body(`"volumes":["/vol/A/"],"outputs":[{"path":"/o/","url":"s3://a/","type":"DIRECTORY"}]`), func(t Task) bool { return t.Volumes[0] == "/vol/A/" && t.Outputs[0].Path == "/o/" }},
		"type is FILE when left out":    {body(`"inputs":[{"path":"/a","content":"x"}],"outputs":[{"path":"/a","url":"b","type":""}]`), func(t Task) bool { return t.Inputs[0].Type == File && t.Outputs[0].Type == File }},
		"content wins over url":         {body(`"inputs":[{"path":"/a","content":"x","url":"ftp://b"}]`), func(t Task) bool { return *t.Inputs[0].Content == "x" }},
		"empty content leaves the url":  {body(`"inputs":[{"path":"/a","content":"","url":"https://b"}]`), func(t Task) bool { return t.Inputs[0].Content == nil }},
		"empty content without a url":   {body(`"inputs":[{"path":"/a","content":""}]`), func(t Task) bool { return *t.Inputs[0].Content == "" }},
		"NUL in content is data":        {body(`"inputs":[{"path":"/a","content":"a\u0000b"}]`), func(t Task) bool { return *t.Inputs[0].Content == "a\x00b" }},
		"4.0 cores are four":            {body(`"resources":{"cpu_cores":4.0,"ram_gb":8}`), func(t Task) bool { return t.Resources.CPUCores == 4 && t.Resources.RAMGB == 8 }},
		"a prefix without wildcards":    {body(`"outputs":[{"path":"/a/b","url":"s3://a","path_prefix":"anything"}]`), func(t Task) bool { return t.Outputs[0].PathPrefix == "anything" }},
		"a tag with an empty value":     {body(`"tags":{"a":""}`), func(t Task) bool { v, ok := t.Tags["a"]; return ok && v == "" }},
		"escapes and pairs":             {body(`"name":"\u00e4\ud83d\ude00\/\"\\"`), func(t Task) bool { return t.Name == "ä😀/\"\\" }},
		"the command line of Funnel writes camel case": {
			`{"executors":[{"image":"i","command":["a"],"ignoreError":true}],"outputs":[{"path":"/a/*","url":"s3://b","pathPrefix":"/a"}],"resources":{"cpuCores":2,"ramGb":1.5,"diskGb":3,"backendParameters":{"a":"b"},"backendParametersStrict":true}}`,
			func(t Task) bool {
				r := t.Resources
				return t.Executors[0].IgnoreError && t.Outputs[0].PathPrefix == "/a" && r.CPUCores == 2 && r.RAMGB == 1.5 && r.DiskGB == 3 && r.BackendParameters["a"] == "b" && r.BackendParametersStrict
			}},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := ReadTask([]byte(c.body))
			if err != nil || !c.check(task) {
				t.Errorf("%v: %+v", err, task)
			}
		})
	}
}

// FuzzReadTask holds for every body: no panic; a body that is taken is JSON that
// the library reads too; what is written of it reads back the same; and a refusal
// has a text of bounded length.
func FuzzReadTask(f *testing.F) {
	w := whole()
	f.Add(AppendTask(nil, &w, Full))
	for _, s := range []string{body(`"name":"a"`), body(`"x":[[[{}]]],"tags":{"a":""}`), `{"executors":[{"image":"i","command":["a","\ud83d\ude00"]}]}`, `[1,]2]`, `{"a":1e5,"a":-0.1}`, body(`"resources":{"cpu_cores":4.0}`), `"\ud800"`, `{}`, ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		task, err := ReadTask(b)
		if err != nil {
			if s := err.Error(); s == "" || len(s) > 1000 || !utf8.ValidString(s) {
				t.Fatalf("message %q", s)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("taken, but no JSON: %q", b)
		}
		written := AppendRequest(nil, &task)
		again, err := ReadTask(written)
		if err != nil || !reflect.DeepEqual(again, task) {
			t.Fatalf("%v\n%+v\n%+v\n%s", err, task, again, written)
		}
		for _, v := range []View{Basic, Full} {
			if stored, whole := AppendStored(nil, written, &Task{}, v), AppendTask(nil, &task, v); string(stored) != string(whole) {
				t.Fatalf("%s:\n%s\n%s", v, stored, whole)
			}
		}
	})
}

// FuzzParse holds our parser against the library's, which is laxer on purpose.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,true,false,null,"\u00e4"]}`, `[[],{}]`, "1", `"`, `[1,]2]`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err == nil && !json.Valid(b) {
			t.Fatalf("taken, but no JSON: %q", b)
		}
		if err == nil && v.kind == isString {
			var s string
			if json.Unmarshal(b, &s) != nil || s != v.text {
				t.Fatalf("%q reads as %q, the library says %q", b, v.text, s)
			}
		}
	})
}

// FuzzAppendString holds our writer against the library's.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", "\x00\x1f\x7f", "\xff\xfe", "<&>\u2028\u2029", "😀\"\\\b\f"} {
		f.Add(s, 1.5)
	}
	f.Add("x", 1e-9)
	f.Add("x", 1e21)
	f.Fuzz(func(t *testing.T, s string, n float64) {
		task := Task{Name: s, Tags: map[string]string{s: s}, Executors: []Executor{{Image: s, Command: []string{s}}}, Resources: &Resources{}}
		if n-n == 0 {
			task.Resources.RAMGB = n
		}
		if got, want := string(AppendTask(nil, &task, Full)), library(t, task); got != want {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
	})
}

func BenchmarkReadTask(b *testing.B) {
	w := whole()
	in := AppendTask(nil, &w, Full)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadTask(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendTask(b *testing.B) {
	w := whole()
	for _, v := range []View{Minimal, Basic, Full} {
		b.Run(string(v), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = AppendTask(buf[:0], &w, v)
			}
		})
	}
}

package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/gateway"
)

const sourceSecret = "flying-source-secret"

// TestACredentialIsNeverAnswered: it is set, replaced and taken away, and every answer
// says no more than when.
func TestACredentialIsNeverAnswered(t *testing.T) {
	w := newWorld(t)
	var src gateway.Source
	w.as(t, "operator", "POST", "/federation/sources", `{"prefix":"s3://lab/in/","kind":"s3","endpoint":"https://s3.example.org","private":true}`).want(t, 201).into(t, &src)
	one := "/federation/sources/" + src.ID + "/credential"
	key := `{"access_key":"` + sourceSecret + `-id","secret_key":"` + sourceSecret + `"`
	w.play(t, []scenario{
		{"none at first", "lead", "GET", "/federation/sources", "", 200, []string{"s3://lab/in/", `"private":true`}, []string{"credential"}},
		{"a lead gives none", "lead", "PUT", one, key + `}`, 403, nil, []string{sourceSecret}},
		{"a token for a bucket", "operator", "PUT", one, `{"token":"` + sourceSecret + `"}`, 400, []string{"id of a key and its secret"}, []string{sourceSecret}},
		{"a field that is none", "operator", "PUT", one, `{"secret":"` + sourceSecret + `"}`, 400, nil, []string{sourceSecret}},
		{"a number", "operator", "PUT", one, `{"token":["` + sourceSecret + `"]}`, 400, []string{"token"}, []string{sourceSecret}},
		{"no JSON", "operator", "PUT", one, `{"token":` + sourceSecret + `}`, 400, nil, []string{sourceSecret}},
		{"nothing", "operator", "PUT", one, `{}`, 400, []string{"Give one"}, nil},
		{"of no source", "operator", "PUT", "/federation/sources/none/credential", key + `}`, 404, nil, []string{sourceSecret}},
		{"a key", "operator", "PUT", one, key + `}`, 200, []string{`"credential_at":"`}, []string{sourceSecret, `"credential":`}},
		{"the list", "lead", "GET", "/federation/sources", "", 200, []string{`"credential_at":"`}, []string{sourceSecret, `"credential":`}},
		{"another key", "operator", "PUT", one, key + `,"region":"eu-north-1"}`, 200, []string{`"credential_at":"`}, []string{sourceSecret, "eu-north-1"}},
		{"a lead takes none", "lead", "DELETE", one, "", 403, nil, nil},
		{"it is taken", "operator", "DELETE", one, "", 200, []string{"s3://lab/in/"}, []string{"credential_at", sourceSecret}},
		{"it may be taken again", "operator", "DELETE", one, "", 200, nil, []string{"credential_at"}},
		{"added with one", "operator", "POST", "/federation/sources", `{"prefix":"https://data.example.org/","kind":"https","credential":{"user":"` + sourceSecret + `-user","password":"` + sourceSecret + `"}}`, 201,
			[]string{`"credential_at":"`}, []string{sourceSecret, `"credential":`}},
		{"added with a bad one", "operator", "POST", "/federation/sources", `{"prefix":"https://more.example.org/","kind":"https","credential":{"password":"` + sourceSecret + `"}}`, 400, []string{"name is missing"}, []string{sourceSecret}},
	})
	for _, path := range []string{"/federation", "/federation/sources", "/metrics", "/audit?limit=500", "/audit/export", "/system"} {
		for _, column := range []string{"operator", "lead", "auditor"} {
			if r := w.as(t, column, "GET", path, nil); strings.Contains(r.body, sourceSecret) {
				t.Errorf("%s as %s tells it", path, column)
			}
		}
	}
	if strings.Contains(w.log.String(), sourceSecret) {
		t.Error("the log tells it")
	}
	files, err := filepath.Glob(w.server.DBFile + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), sourceSecret) {
			t.Errorf("it stands in %s", filepath.Base(name))
		}
	}
}

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCredentialsComeFromAFile: what is secret is read, goes into the body and nowhere
// else, and the rest stands in flags.
func TestCredentialsComeFromAFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, in string
		args     []string
		want     string // empty: refused, and nothing is asked of the server
	}{
		{"a key", "", []string{"--key-id", "reader", "--from", secret}, `PUT {"access_key":"reader","region":"","secret_key":"hunter2"}`},
		{"a key of a region", "hunter3\n", []string{"--key-id", "reader", "--region", "eu-north-1"}, `PUT {"access_key":"reader","region":"eu-north-1","secret_key":"hunter3"}`},
		{"a password", "hunter3", []string{"--user", "lab", "--from", "-"}, `PUT {"password":"hunter3","user":"lab"}`},
		{"a token", "hunter3\n", nil, `PUT {"token":"hunter3"}`},
		{"none any more", "", []string{"--remove"}, `DELETE `},
		{"refused: two forms", "hunter3", []string{"--key-id", "a", "--user", "b"}, ""},
		{"refused: a name in a region", "hunter3", []string{"--region", "a", "--user", "b"}, ""},
		{"refused: a file to remove", "", []string{"--remove", "--from", secret}, ""},
		{"refused: no such file", "", []string{"--from", "/none"}, ""},
		{"refused: too long", strings.Repeat("x", valueMax+1), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			const path, answer = "/federation/sources/s3:%2F%2Flab%2Fin%2F/credential", `{"id":"s1","prefix":"s3://lab/in/","credential_at":"2026-11-24T10:00:00Z"}`
			o := &office{answers: map[string]string{"PUT " + path: answer, "DELETE " + path: `{"id":"s1","prefix":"s3://lab/in/"}`}}
			out, errs, err := o.run(t, newSource, c.in, append([]string{"credential", "s3://lab/in/"}, c.args...)...)
			if c.want == "" {
				if err == nil || len(o.asked) > 0 {
					t.Errorf("%v %v", err, o.asked)
				}
				return
			}
			method, body, _ := strings.Cut(c.want, " ")
			if err != nil || len(o.asked) != 1 || o.asked[0] != method+" "+path || o.body != body {
				t.Errorf("asked %v with %s (%v)", o.asked, o.body, err)
			}
			if strings.Contains(out+errs, "hunter") || strings.Contains(out, "set 2026") != (method == "PUT") {
				t.Errorf("it prints %q %q", out, errs)
			}
		})
	}
}

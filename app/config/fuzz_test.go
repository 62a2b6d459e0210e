package config

import (
	"testing"

	"tresor/app/fault"
)

// Whatever the file holds, reading it ends with settings or with a refusal that
// has a text for people; settings print and read back to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Manual()))
	f.Add([]byte("[limits.default]\nmemory = \"1GiB\"\nwall = \"3d\"\n"))
	f.Add([]byte("listen = \"x\"\n[tls]\ndomain = [\"a\", \"b\"]\n"))
	f.Add([]byte("[limits]\ndefault = {memory = 3}\nmax.cores = 1e3\n"))
	f.Add([]byte("nope.nope = 1\n[[tls]]\n"))
	f.Fuzz(func(t *testing.T, document []byte) {
		c, err := Parse(document)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || fault.Message(err) == "" {
				t.Fatalf("not a refusal for people: %v", err)
			}
			return
		}
		_ = c.Validate()
		again, err := Parse([]byte(c.Redacted()))
		if err != nil {
			t.Fatalf("printed settings are refused: %v\n%s", err, c.Redacted())
		}
		if again.Redacted() != c.Redacted() {
			t.Fatalf("printed settings changed:\n%s\n%s", c.Redacted(), again.Redacted())
		}
	})
}

// A person's size or time span prints to what reads back the same.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"1.5GiB", "7d", "10m3s", "9223372036854775807", "106751d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSize(text); err == nil {
			if again, err := ParseSize(s.String()); err != nil || again != s || s < 0 {
				t.Fatalf("size %q -> %v -> %v, %v", text, s, again, err)
			}
		}
		if d, err := ParseDuration(text); err == nil {
			if again, err := ParseDuration(d.String()); err != nil || again != d || d.Duration < 0 {
				t.Fatalf("span %q -> %v -> %v, %v", text, d, again, err)
			}
		}
	})
}

package identity

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/fault"

	"github.com/pquerna/otp/totp"
)

func TestPasswordRules(t *testing.T) {
	cases := []struct{ name, password, says string }{
		{"sentence", "four quiet horses read", ""},
		{"no rule about signs", "dvxbmqhzrwkt", ""},
		{"other scripts count by letter", "четыре тихих коня", ""},
		{"short", "q7!Lz", "too short"},
		{"eleven", "dvxbmqhzrwk", "too short"},
		{"endless", strings.Repeat("dvxbmqhz ", 100), "at most"},
		{"not text", "dvxbmqhzrwkt\xff", "at most"},
		{"one sign", "aaaaaaaaaaaa", "pattern"},
		{"two signs", "abababababab", "pattern"},
		{"counting", "123456789012", "pattern"},
		{"counting down", "987654321098", "pattern"},
		{"alphabet", "abcdefghijkl", "pattern"},
		{"word and digits", "Password1234", "attackers try first"},
		{"word twice", "passwordpassword", "attackers try first"},
		{"word twice and a sign", "PasswortPasswort!", "attackers try first"},
		{"signs for letters", "P@ssw0rd123456", "attackers try first"},
		{"keyboard row", "qwertyuiopasdf", "attackers try first"},
		{"famous phrase", "correct horse battery staple", "attackers try first"},
		{"season and year", "Summer2026!!", "attackers try first"},
		{"sign-in name", "olgaberg2026", "sign-in name"},
		{"sign-in name twice", "olgabergolgaberg", "sign-in name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := checkPassword(c.password, "olgaberg", 12)
			if c.says == "" {
				must(t, err)
				return
			}
			refused(t, err, fault.Invalid, c.says)
		})
	}
}

func TestHash(t *testing.T) {
	h := newHasher()
	phc, err := h.hash(t.Context(), password)
	must(t, err)
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") || outdated(phc) {
		t.Errorf("phc = %s", phc)
	}
	again, err := h.hash(t.Context(), password)
	must(t, err)
	if again == phc {
		t.Error("the salt is not fresh")
	}
	for pw, want := range map[string]bool{password: true, password + " ": false, "": false} {
		if ok, err := h.verify(t.Context(), pw, phc); err != nil || ok != want {
			t.Errorf("verify(%q) = %v, %v", pw, ok, err)
		}
	}
	if ok, err := h.verify(t.Context(), "", ""); err != nil || ok {
		t.Errorf("nobody's password is right: %v, %v", ok, err)
	}
}

// "é" typed as one sign or as two is the same password.
func TestHashNormalises(t *testing.T) {
	h := newHasher()
	phc, err := h.hash(t.Context(), "caf\u00e9 au lait matin")
	must(t, err)
	if ok, err := h.verify(t.Context(), "cafe\u0301 au lait matin", phc); err != nil || !ok {
		t.Errorf("verify = %v, %v", ok, err)
	}
}

// The reference implementation's own test value guards against parameters in a
// wrong order.
func TestHashAgreesWithTheReference(t *testing.T) {
	ok, err := newHasher().verify(t.Context(), "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil || !ok {
		t.Errorf("verify = %v, %v", ok, err)
	}
}

func TestHashRefusesDamagedRows(t *testing.T) {
	h := newHasher()
	phc, err := h.hash(t.Context(), password)
	must(t, err)
	for name, bad := range map[string]string{
		"cut": phc[:20], "other algorithm": strings.Replace(phc, "argon2id", "argon2i", 1), "other version": strings.Replace(phc, "v=19", "v=16", 1),
		"huge memory": strings.Replace(phc, "m=19456", "m=99999999", 1), "no passes": strings.Replace(phc, "t=2", "t=0", 1),
		"not base64": phc + "!", "words": "hello",
	} {
		if _, err := h.verify(t.Context(), password, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecodeHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE")
	f.Add("$argon2id$v=19$m=1,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, phc string) {
		p, salt, sum, err := decodeHash(phc)
		if err == nil && (p.memory > 1<<20 || p.passes > 16 || len(salt) < 8 || len(sum) != hashLength) {
			t.Errorf("%q asks for %+v", phc, p)
		}
	})
}

// A storm of sign-ins waits its turn, is bounded, and a caller who gives up leaves.
func TestHasherIsBounded(t *testing.T) {
	h := newHasher()
	for range hashAtOnce {
		h.turn <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range hashWaiting {
		wg.Go(func() { _, _ = h.hash(ctx, password) })
	}
	for len(h.waiting) < hashWaiting {
		time.Sleep(time.Millisecond)
	}
	_, err := h.hash(ctx, password)
	refused(t, err, fault.Unavailable, "Many people")
	cancel()
	wg.Wait()
	if len(h.waiting) != 0 {
		t.Error("places are still taken")
	}
}

func TestMatchCode(t *testing.T) {
	e, err := newEnrolment("Site", "ada")
	must(t, err)
	now := time.Unix(1_800_000_000, 0)
	step := now.Unix() / totpPeriod
	for name, c := range map[string]struct {
		at   time.Duration
		want int64
	}{"now": {0, step}, "clock behind": {-30 * time.Second, step - 1}, "clock ahead": {30 * time.Second, step + 1}, "too old": {-90 * time.Second, 0}, "too new": {90 * time.Second, 0}} {
		code, err := totp.GenerateCode(e.Secret, now.Add(c.at))
		must(t, err)
		if got := matchCode(e.Secret, code[:3]+" "+code[3:], now); got != c.want {
			t.Errorf("%s: step %d, want %d", name, got, c.want)
		}
	}
	for _, code := range []string{"", "12345", "abcdef", "1234567"} {
		if got := matchCode(e.Secret, code, now); got != 0 {
			t.Errorf("%q matches", code)
		}
	}
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "identity.key")
	keys := make([]string, 8)
	var wg sync.WaitGroup
	for i := range keys { // two starts at once agree
		wg.Go(func() {
			k, err := LoadKey(path)
			if err == nil {
				keys[i] = string(k)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if len(k) != keyLength || k != keys[0] {
			t.Fatal("the starts do not agree on one key")
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
	must(t, os.Chmod(path, 0o644))
	_, err = LoadKey(path)
	refused(t, err, fault.Conflict, "chmod 600")
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, []byte("short"), 0o600))
	_, err = LoadKey(path)
	refused(t, err, fault.Conflict, "damaged")
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err = LoadKey(filepath.Join(file, "key"))
	if err == nil {
		t.Error("made a key below a file")
	}
}

func TestThrottleStaysSmall(t *testing.T) {
	clk := &clock{t: time.Unix(1_800_000_000, 0)}
	th := newThrottle(clk.now)
	for range freeForAccount + 1 {
		th.fail("handle:victim", freeForAccount, longestWait)
	}
	for i := range rememberAtMost + 1000 {
		th.fail(digest(string(rune(i+1000))), freeForAccount, longestWait)
	}
	if len(th.keys) > rememberAtMost {
		t.Errorf("%d keys", len(th.keys))
	}
	if th.check("handle:victim") == nil {
		t.Error("a flood of names washed out an account under attack")
	}
	clk.add(forgetAfter + longestWait)
	if err := th.check("handle:victim"); err != nil {
		t.Errorf("never forgotten: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "address:192.0.2.1", "::ffff:192.0.2.1": "address:192.0.2.1",
		"2001:db8:1:2:3::4": "address:2001:db8:1:2::/64", "fe80::1%eth0": "address:fe80::/64", "": "address:unknown", "@": "address:unknown",
	} {
		if got := network(address); got != want {
			t.Errorf("network(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestRefusalHours(t *testing.T) {
	clk := &clock{t: time.Unix(1_800_000_000, 0)}
	s := &Service{refusals: newRefusals(clk.now)}
	for range 30 {
		s.refusals.add("system", true)
		clk.add(time.Hour)
	}
	if n := s.FailedSignIns(); n < 22 || n > 24 {
		t.Errorf("%d in the last 24 hours of one an hour", n)
	}
	clk.add(1000 * time.Hour)
	if n := s.FailedSignIns(); n != 0 {
		t.Errorf("%d after a long quiet time", n)
	}
}

// Whatever people type as a password is judged without a crash, and what is
// accepted is long enough.
func FuzzCheckPassword(f *testing.F) {
	for _, s := range []string{"Password1234!", "пароль", "a\xff", "\u202e", "0123456789ab", "😀😀😀😀😀😀😀😀😀😀😀😀"} {
		f.Add(s, "ada")
	}
	f.Fuzz(func(t *testing.T, pw, handle string) {
		if checkPassword(pw, handle, 12) == nil && len([]rune(pw)) < 12 {
			t.Errorf("%q is accepted", pw)
		}
	})
}

package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"tresor/app/fault"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// The cost of one hash: OWASP's smallest recommended argon2id setting. It is
// deliberately not more, because memory is what a storm of sign-ins would take.
const (
	hashMemory  = 19 * 1024 // KiB
	hashPasses  = 2
	hashThreads = 1
	hashLength  = 32
	saltLength  = 16
)

// A storm of sign-ins uses at most hashAtOnce x hashMemory; who finds
// hashWaiting people in front is asked to come back.
const (
	hashAtOnce  = 2
	hashWaiting = 64
)

// hasher computes password hashes, few at a time.
type hasher struct {
	turn    chan struct{}
	waiting chan struct{}
	dummy   string // verified for unknown people, so that they take as long
}

func newHasher() *hasher {
	h := &hasher{turn: make(chan struct{}, hashAtOnce), waiting: make(chan struct{}, hashWaiting)}
	h.dummy = encodeHash(newSalt(), make([]byte, hashLength))
	return h
}

// limited runs f when it is its turn. Errors: Unavailable.
func (h *hasher) limited(ctx context.Context, f func()) error {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return fault.New("identity.hash", fault.Unavailable, "Many people sign in right now. Try again in a moment.")
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f()
	return nil
}

// hash returns the PHC string of a password under a fresh salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := newSalt()
	var sum []byte
	err := h.limited(ctx, func() { sum = derive(password, salt, params{hashMemory, hashPasses, hashThreads}) })
	return encodeHash(salt, sum), err
}

// verify reports whether the password belongs to the PHC string. An empty
// string stands for "no such person or no password" and takes as long.
func (h *hasher) verify(ctx context.Context, password, phc string) (ok bool, err error) {
	none := phc == ""
	if none {
		phc = h.dummy
	}
	p, salt, want, err := decodeHash(phc)
	if err != nil {
		return false, err
	}
	err = h.limited(ctx, func() {
		ok = subtle.ConstantTimeCompare(derive(password, salt, p), want) == 1
	})
	return ok && !none, err
}

type params struct{ memory, passes, threads uint32 }

func derive(password string, salt []byte, p params) []byte {
	return argon2.IDKey([]byte(norm.NFC.String(password)), salt, p.passes, p.memory, uint8(p.threads), hashLength)
}

func newSalt() []byte {
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	return salt
}

func encodeHash(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashThreads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// decodeHash reads a PHC string. It refuses costs that a damaged row could ask for.
func decodeHash(phc string) (p params, salt, sum []byte, err error) {
	bad := fault.New("identity.decodeHash", fault.Internal, "This account's password is stored in a form that cannot be read. Ask an operator for a new one-time link.")
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, bad
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads); n != 3 || err != nil {
		return p, nil, nil, bad
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	outside := p.memory < 8 || p.memory > 1<<20 || p.passes < 1 || p.passes > 16 || p.threads < 1 || p.threads > 16
	if err1 != nil || err2 != nil || outside || len(salt) < 8 || len(sum) != hashLength {
		return p, nil, nil, bad
	}
	return p, salt, sum, nil
}

// outdated reports whether a hash was made with another cost than today's.
func outdated(phc string) bool {
	p, _, _, err := decodeHash(phc)
	return err != nil || p != params{hashMemory, hashPasses, hashThreads}
}

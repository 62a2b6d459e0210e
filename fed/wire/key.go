package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Key is an Ed25519 public key.
type Key [ed25519.PublicKeySize]byte

// Nonce is 32 random bytes that bind an answer to one question.
type Nonce [32]byte

// Sig is an Ed25519 signature.
type Sig [ed25519.SignatureSize]byte

// MAC is an HMAC-SHA256 value.
type MAC [sha256.Size]byte

// Sum is the SHA-256 of a body.
type Sum [sha256.Size]byte

// KeyID names a public key: 32 hexadecimal digits of its SHA-256.
type KeyID string

// KeyOf gives the public half of a private key.
func KeyOf(priv ed25519.PrivateKey) Key {
	var k Key
	copy(k[:], priv[ed25519.SeedSize:])
	return k
}

// ID gives the name of the key.
func (k Key) ID() KeyID {
	sum := sha256.Sum256(k[:])
	return KeyID(hex.EncodeToString(sum[:16]))
}

// Valid reports whether id has the form of a key's name.
func (id KeyID) Valid() bool {
	if len(id) != 32 {
		return false
	}
	for _, c := range id {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return false
		}
	}
	return true
}

// MarshalText and the others give unpadded base64url, the one form on the wire.
func (k Key) MarshalText() ([]byte, error)   { return text(k[:]), nil }
func (n Nonce) MarshalText() ([]byte, error) { return text(n[:]), nil }
func (s Sig) MarshalText() ([]byte, error)   { return text(s[:]), nil }
func (m MAC) MarshalText() ([]byte, error)   { return text(m[:]), nil }
func (s Sum) MarshalText() ([]byte, error)   { return text(s[:]), nil }

// UnmarshalText and the others refuse any other length or form.
func (k *Key) UnmarshalText(b []byte) error   { return fill(k[:], b) }
func (n *Nonce) UnmarshalText(b []byte) error { return fill(n[:], b) }
func (s *Sig) UnmarshalText(b []byte) error   { return fill(s[:], b) }
func (m *MAC) UnmarshalText(b []byte) error   { return fill(m[:], b) }
func (s *Sum) UnmarshalText(b []byte) error   { return fill(s[:], b) }

func text(b []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(nil, b)
}

func fill(dst, src []byte) error {
	if base64.RawURLEncoding.DecodedLen(len(src)) != len(dst) {
		return fmt.Errorf("%d characters where %d bytes are expected", len(src), len(dst))
	}
	_, err := base64.RawURLEncoding.Strict().Decode(dst, src)
	return err
}

// canon joins fields so that no two lists of fields give the same bytes. The
// name keeps a signature for one message from fitting another.
func canon(name string, fields ...any) []byte {
	b := field(nil, []byte("tresor/fed/1/"+name))
	for _, f := range fields {
		switch v := f.(type) {
		case string:
			b = field(b, []byte(v))
		case KeyID:
			b = field(b, []byte(v))
		case []byte:
			b = field(b, v)
		case int64:
			b = field(b, binary.BigEndian.AppendUint64(nil, uint64(v)))
		case uint64:
			b = field(b, binary.BigEndian.AppendUint64(nil, v))
		default:
			panic(fmt.Sprintf("wire: no canonical form for %T", f))
		}
	}
	return b
}

func field(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func sign(priv ed25519.PrivateKey, msg []byte) (s Sig) {
	copy(s[:], ed25519.Sign(priv, msg))
	return s
}

func verify(k Key, msg []byte, s Sig) error {
	if !ed25519.Verify(k[:], msg, s[:]) {
		return Refuse(CodeSignature, "the signature does not fit the key %s: compare the key words of both ends", k.ID())
	}
	return nil
}

// CheckName refuses a name that a page could not show: empty, over MaxName
// bytes, not UTF-8, or with control or invisible characters.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return Refuse(CodeMalformed, "a name has 1 to %d bytes of text", MaxName)
	}
	if clean(name) != name || strings.TrimSpace(name) != name {
		return Refuse(CodeMalformed, "a name has no control characters and no space at its ends")
	}
	return nil
}

// clean drops what could forge a line in a log or reorder text on a page.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// CheckID refuses a task id that is empty, over MaxID bytes, or has other
// characters than letters, digits and . _ : -
func CheckID(id string) error {
	if id == "" || len(id) > MaxID {
		return Refuse(CodeMalformed, "an id has 1 to %d characters", MaxID)
	}
	for _, c := range id {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._:-", c) {
			return Refuse(CodeMalformed, "an id has only letters, digits and . _ : -")
		}
	}
	return nil
}

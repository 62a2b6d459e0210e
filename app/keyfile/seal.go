package keyfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"tresor/app/fault"
)

// SealLength is the length of a Sealer's key in bytes (AES-256).
const SealLength = 32

// Sealer encrypts small secrets, each for one purpose.
type Sealer struct{ aead cipher.AEAD }

// NewSealer uses the key in the file, making it at first use. Errors as of Random.
func NewSealer(path string) (Sealer, error) {
	key, err := Random(path, SealLength)
	if err != nil {
		return Sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Sealer{}, fault.Wrap("keyfile.NewSealer", err)
	}
	aead, err := cipher.NewGCM(block)
	return Sealer{aead}, fault.Wrap("keyfile.NewSealer", err)
}

// Seal encrypts a secret and binds it to a purpose: a row that was moved
// elsewhere does not open there.
func (s Sealer) Seal(purpose string, secret []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, secret, []byte(purpose))
}

// Open gives the secret back. It fails for another key, another purpose or
// changed bytes, with Internal.
func (s Sealer) Open(purpose string, sealed []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, unsealable(nil)
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(purpose))
	if err != nil {
		return nil, unsealable(err)
	}
	return plain, nil
}

func unsealable(err error) error {
	return fault.WithNext(fault.Kinded("keyfile.Open", fault.Internal, err, "A stored secret cannot be read with the server's key."),
		"Put back the key file from your key backup, or enter the secret again.")
}

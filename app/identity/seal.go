package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"tresor/app/fault"
)

// keyLength is the length of the sealing key in bytes (AES-256).
const keyLength = 32

// LoadKey returns the key in the file, making it at first use with mode 0600. A
// crash leaves either no file or a whole one. Errors: Internal with the reason,
// when the file is damaged or readable by others.
func LoadKey(path string) ([]byte, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, fault.Wrap("identity.LoadKey", err)
	}
	if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault.Kinded("identity.LoadKey", fault.Unavailable, err, "Cannot write the key file %s. Check the rights of its folder and the free space.", path)
	}
	key, err = readKey(path)
	return key, fault.Wrap("identity.LoadKey", err)
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New("identity.LoadKey", fault.Conflict, "Other accounts can read the key file %s. Run chmod 600 on it and start again.", path)
	}
	key, err := os.ReadFile(path)
	if err == nil && len(key) != keyLength {
		err = fault.New("identity.LoadKey", fault.Conflict, "The key file %s is damaged. Put back the copy from your key backup; without it everybody has to set up their authenticator app again.", path)
	}
	return key, err
}

// makeKey writes aside, syncs and links into place, so that two starts at once
// agree on one key.
func makeKey(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, keyLength)
	rand.Read(key)
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sealer encrypts small secrets for one person each.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	if len(key) != keyLength {
		return sealer{}, fault.New("identity.New", fault.Internal, "The identity key has %d bytes instead of %d.", len(key), keyLength)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fault.Wrap("identity.New", err)
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, fault.Wrap("identity.New", err)
}

// seal binds the secret to the person, so that a row moved to another person
// does not open.
func (s sealer) seal(person, secret string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, []byte(secret), []byte(person))
}

func (s sealer) open(person string, sealed []byte) (string, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return "", errSealed(nil)
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(person))
	if err != nil {
		return "", errSealed(err)
	}
	return string(plain), nil
}

func errSealed(err error) error {
	return fault.Kinded("identity.open", fault.Internal, err,
		"The second factor of this account cannot be read with the server's key. Ask an operator for a new one-time link.")
}

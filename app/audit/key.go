package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"tresor/app/fault"
)

// loadKey reads the signing key, or makes one where there is none. Both files
// are written aside and renamed, so a crash leaves a whole key or none.
func loadKey(path, origin string) (note.Signer, string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path, origin)
	}
	if err != nil {
		return nil, "", err
	}
	text := strings.TrimSpace(string(b))
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, "", fault.WithNext(fault.Kinded("audit.loadKey", fault.Internal, err, "The audit log's signing key %s is damaged.", path),
			"Restore it from a backup. Without it the log cannot be continued under the same key.")
	}
	verifier, err := verifierOf(text)
	if err != nil {
		return nil, "", err
	}
	return signer, verifier, publish(path, verifier)
}

func makeKey(path, origin string) (note.Signer, string, error) {
	secret, verifier, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, "", err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, "", err
	}
	if err := write(path, secret+"\n", 0o600); err != nil {
		return nil, "", err
	}
	return signer, verifier, publish(path, verifier)
}

// publish puts the verifier key beside the signing key, for those who verify.
func publish(path, verifier string) error {
	to := filepath.Join(filepath.Dir(path), "audit.pub")
	text := verifier + "\n"
	if b, err := os.ReadFile(to); err == nil && string(b) == text {
		return nil
	}
	return write(to, text, 0o644)
}

// verifierOf derives the verifier key from a signer key of the note package:
// PRIVATE+KEY+<name>+<hash>+<base64 of 1 and the seed>.
func verifierOf(signer string) (string, error) {
	parts := strings.SplitN(signer, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("signing key has another shape")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("signing key has another length")
	}
	pub := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return fmt.Sprintf("%s+%s+%s", parts[2], parts[3], base64.StdEncoding.EncodeToString(append([]byte{raw[0]}, pub...))), nil
}

// write makes a file durable under its name.
func write(path, text string, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = bytes.NewBufferString(text).WriteTo(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

package wire

import (
	"crypto/ed25519"
	"time"
)

// Succession says that a key will be replaced: signed by the old key (its
// holder wants this) and by the new one (its holder has it). Until Until both
// are good, after it only the new one.
type Succession struct {
	Old    KeyID `json:"old"`
	New    Key   `json:"new"`
	Until  int64 `json:"until"` // Unix milliseconds
	SigOld Sig   `json:"sig_old"`
	SigNew Sig   `json:"sig_new"`
}

// MaxOverlap is the longest time for which an old and a new key may both be good.
const MaxOverlap = 90 * 24 * time.Hour

// NewSuccession makes the statement.
func NewSuccession(old, next ed25519.PrivateKey, until time.Time) *Succession {
	s := &Succession{Old: KeyOf(old).ID(), New: KeyOf(next), Until: until.UnixMilli()}
	msg := s.body()
	s.SigOld, s.SigNew = sign(old, msg), sign(next, msg)
	return s
}

// Same reports whether both announce the same next key, or none.
func (s *Succession) Same(o *Succession) bool {
	return s == o || s != nil && o != nil && s.New == o.New
}

func (s *Succession) body() []byte {
	return canon("succession", s.Old, s.New[:], s.Until)
}

// canon gives what a message that carries s signs; nil gives nothing.
func (s *Succession) canon() []byte {
	if s == nil {
		return nil
	}
	return append(append(s.body(), s.SigOld[:]...), s.SigNew[:]...)
}

// Check refuses a statement that is not about old, ends in the past or later
// than MaxOverlap from now, or lacks one of the two signatures.
func (s *Succession) Check(old Key, now time.Time) error {
	until := time.UnixMilli(s.Until)
	switch {
	case s.Old != old.ID() || s.New == old:
		return Refuse(CodeSignature, "the new key is not for the key %s", old.ID())
	case until.Before(now):
		return Refuse(CodeKeyExpired, "the overlap of the old and the new key is over: start the rotation again")
	case until.After(now.Add(MaxOverlap + MaxSkew)):
		return Refuse(CodeTime, "the overlap of two keys is at most %d days", int(MaxOverlap.Hours()/24))
	}
	if err := verify(old, s.body(), s.SigOld); err != nil {
		return err
	}
	return verify(s.New, s.body(), s.SigNew)
}

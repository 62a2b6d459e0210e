package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Credential is what an operator gives a source so that it lets this server read: a
// key pair for s3, and for https and drs a token, or a name with a password. Nobody
// gets it back, no plugin gets it, and it prints as nothing.
type Credential struct {
	AccessKey string `json:"access_key,omitempty" doc:"s3: id of the key"`
	SecretKey string `json:"secret_key,omitempty" doc:"s3: the secret of the key"`
	Region    string `json:"region,omitempty" doc:"s3: region of the bucket; empty: us-east-1"`
	Token     string `json:"token,omitempty" doc:"https, drs: bearer token"`
	User      string `json:"user,omitempty" doc:"https, drs: name, for basic authentication"`
	Password  string `json:"password,omitempty" doc:"https, drs: password, for basic authentication"`
}

const (
	maxCredential = 8 << 10 // bytes of each part: signed tokens are long
	defaultRegion = "us-east-1"
)

var regionName = regexp.MustCompile(`^[a-z0-9-]{0,64}$`)

// Format prints no part of it, whatever the verb.
func (Credential) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "(credential)") }

// LogValue logs no part of it.
func (Credential) LogValue() slog.Value { return slog.StringValue("(credential)") }

// fits refuses what the kind of source cannot use. Texts hold no part of it.
func (c Credential) fits(op string, src Source) error {
	bad := func(format string, args ...any) error { return fault.New(op, fault.Invalid, format, args...) }
	for name, v := range map[string]string{"id of the key": c.AccessKey, "secret of the key": c.SecretKey, "token": c.Token, "name": c.User, "password": c.Password} {
		if len(v) > maxCredential || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return bad("The %s is longer than %d bytes or holds other characters than printable ASCII: check that the whole of it and nothing else was given.", name, maxCredential)
		}
	}
	forms := 0
	for _, used := range []bool{c.AccessKey+c.SecretKey+c.Region != "", c.Token != "", c.User+c.Password != ""} {
		if used {
			forms++
		}
	}
	switch {
	case src.Plugin != "":
		return bad("This address is for the plugin %s, which keeps its secrets among its own settings.", src.Plugin)
	case forms != 1:
		return bad("Give one credential: a key with its secret, a token, or a name with a password.")
	case src.Kind == SourceS3 && (c.AccessKey == "" || c.SecretKey == ""):
		return bad("A source in s3:// wants the id of a key and its secret.")
	case src.Kind != SourceS3 && c.AccessKey+c.SecretKey+c.Region != "":
		return bad("A key with its secret is for s3://. A source in %s:// wants a token, or a name with a password.", src.Kind)
	case strings.ContainsAny(c.AccessKey, "/, "):
		return bad("The id of a key holds no blank, comma or slash.")
	case !regionName.MatchString(c.Region):
		return bad("A region is named with small letters, digits and hyphens, for example %s.", defaultRegion)
	case strings.ContainsAny(c.Token, " "):
		return bad("A token holds no blank: give it without the word Bearer.")
	case c.Token == "" && src.Kind != SourceS3 && (c.User == "" || strings.Contains(c.User, ":")):
		return bad("The name is missing or holds a colon.")
	}
	return nil
}

// purpose binds a sealed credential to its source and the source's address: a row
// that was changed to lead elsewhere has none.
func (src Source) purpose() string {
	return strings.Join([]string{"source", src.ID, src.Kind, src.Prefix, src.Endpoint}, " ")
}

// keptAt is the time of the credential as a row has it.
func (src Source) keptAt() any {
	if src.sealed == nil {
		return nil
	}
	return store.Millis(src.CredentialAt)
}

// keep checks and seals a credential for the source.
func (s *Service) keep(op string, src Source, c Credential) ([]byte, error) {
	if err := c.fits(op, src); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	return s.Seal.Seal(src.purpose(), plain), nil
}

// credential gives the source's back; nil: it has none.
func (s *Service) credential(src Source) (*Credential, error) {
	if src.sealed == nil {
		return nil, nil
	}
	var c Credential
	plain, err := s.Seal.Open(src.purpose(), src.sealed)
	if err == nil {
		err = json.Unmarshal(plain, &c)
	}
	if err != nil {
		return nil, &refusal{code: CodeUnavailable, err: fault.WithNext(fault.Kinded("gateway.credential", fault.Unavailable, fmt.Errorf("source %s: %w", src.Prefix, err), "This server cannot read the credential that it has for the source."),
			"Ask the operator of this server to enter it again.")}
	}
	return &c, nil
}

// SetCredential gives a source a credential, in place of the one before. The source is
// named by itself or by its id. Operators only. Errors: Denied, NotFound, Invalid,
// Conflict for a prefix that several plugins have.
func (s *Service) SetCredential(ctx context.Context, actor access.Actor, name string, c Credential) (Source, error) {
	const op = "gateway.SetCredential"
	return s.changeCredential(ctx, actor, op, name, "gateway.source-credential-set", func(tx *store.Tx, src *Source) (err error) {
		src.CredentialAt = tx.Now()
		src.sealed, err = s.keep(op, *src, c)
		return err
	})
}

// DropCredential takes a source's credential away; there may be none. Who may, and
// errors, as SetCredential.
func (s *Service) DropCredential(ctx context.Context, actor access.Actor, name string) (Source, error) {
	return s.changeCredential(ctx, actor, "gateway.DropCredential", name, "gateway.source-credential-dropped", func(_ *store.Tx, src *Source) error {
		src.sealed, src.CredentialAt = nil, time.Time{}
		return nil
	})
}

func (s *Service) changeCredential(ctx context.Context, actor access.Actor, op, name, verb string, change func(*store.Tx, *Source) error) (src Source, err error) {
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return Source{}, err
	}
	err = s.update(ctx, func(tx *store.Tx) error {
		if src, err = findSource(tx, op, name); err != nil {
			return err
		}
		if err := change(tx, &src); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE gateway_source SET credential = ?, credential_at = ? WHERE id = ?`, src.sealed, src.keptAt(), src.ID); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, audit.By(actor, verb, "source:"+src.ID, "", "kind", src.Kind))
		return err
	})
	if err != nil {
		return Source{}, fault.Wrap(op, err)
	}
	return src, nil
}

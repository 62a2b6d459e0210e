package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tresor/app/fault"
)

func sourceCredential(e *env) *cobra.Command {
	var keyID, region, user, from string
	var remove bool
	c := &cobra.Command{Use: "credential SOURCE", Short: "Give a source what it wants to let this server read, or take it away", Args: cobra.ExactArgs(1),
		Long: `A source in s3:// wants the id of a key (--key-id) and its secret; one in https:// or
drs:// a bearer token, or a name (--user) and its password. The secret, token or
password itself is read from a file (--from FILE) or from standard input, so that it
stands in no list of processes and in no shell history; on a terminal it is asked for.
It takes the place of the one before, is kept encrypted, goes to this source only, and
nobody gets it back.`,
		Example: `  tresor federation source credential s3://lab/in/ --key-id tresor-reader --from /run/secrets/s3
  tresor federation source credential https://data.example.org/in/ < token
  tresor federation source credential s3://lab/in/ --remove`,
		RunE: func(c *cobra.Command, args []string) error {
			path := "/federation/sources/" + esc(args[0]) + "/credential"
			if remove {
				return show(c.Context(), e, http.MethodDelete, path, nil, printSource)
			}
			secret, err := e.secret(from)
			if err != nil {
				return err
			}
			body := map[string]string{}
			switch {
			case keyID != "":
				body["access_key"], body["secret_key"], body["region"] = keyID, secret, region
			case user != "":
				body["user"], body["password"] = user, secret
			default:
				body["token"] = secret
			}
			return show(c.Context(), e, http.MethodPut, path, body, printSource)
		}}
	f := c.Flags()
	f.StringVar(&keyID, "key-id", "", "s3: id of the key whose secret is read")
	f.StringVar(&region, "region", "", "s3: region of the bucket (default us-east-1)")
	f.StringVar(&user, "user", "", "https, drs: name whose password is read; without: a bearer token is read")
	f.StringVar(&from, "from", "-", "file with the secret; - is standard input")
	f.BoolVar(&remove, "remove", false, "take the credential away")
	c.MarkFlagsMutuallyExclusive("key-id", "user", "remove")
	c.MarkFlagsMutuallyExclusive("region", "user")
	c.MarkFlagsMutuallyExclusive("from", "remove")
	return completes(e, c, someSources)
}

func printSource(w io.Writer, s sourceView) {
	facts(w, "source", s.ID, "prefix", s.Prefix, "endpoint", s.Endpoint, "plugin", s.Plugin, "addresses", yes(s.Private, "public and of your own network", ""), "credential", credentialSet(s))
}

func credentialSet(s sourceView) string {
	if s.CredentialAt == nil {
		return ""
	}
	return "set " + when(s.CredentialAt)
}

// secret reads one from a file, or from standard input: unseen, if somebody types it.
func (e *env) secret(from string) (string, error) {
	if f, ok := e.in.(*os.File); ok && from == "-" && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(e.err, "Secret, token or password: ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.err)
		if err != nil {
			return "", unreadable("the terminal", err)
		}
		return string(b), nil
	}
	return e.valueFrom(from)
}

// valueMax bounds a value that is read from a file, in bytes.
const valueMax = 64 << 10

// valueFrom reads a value from a file; "-" is standard input. Ends of lines behind it
// do not belong to it.
func (e *env) valueFrom(name string) (string, error) {
	in := io.NopCloser(e.in)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", unreadable(name, err)
		}
		in = f
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, valueMax+1))
	if err != nil {
		return "", unreadable(name, err)
	}
	if len(b) > valueMax {
		return "", fault.New("cli.value", fault.Exhausted, "%s is longer than the %s that a value may have.", name, size(valueMax))
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

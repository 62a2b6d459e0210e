package cli

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

func pluginTrust(e *env) *cobra.Command {
	var sure bool
	c := &cobra.Command{Use: "trust FILE", Short: "Let the appliance run a plugin's program file", Args: cobra.ExactArgs(1),
		Long: `The appliance makes a private copy of exactly this file and runs only that copy. A file
that changes later is another one, and has to be trusted anew. The file and its folder
must belong to root or to the account that runs the server, and others may not write there.
Works on the server itself only.`,
		Example: "  tresor plugin trust /opt/tresor/plugins/beacon\n  tresor plugin trust --yes ./beacon",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := lookAt(args[0])
			if err != nil {
				return err
			}
			if !sure {
				if err := f.confirm(e); err != nil {
					return err
				}
			}
			return show(c.Context(), e, http.MethodPost, "/plugins", map[string]string{"path": f.path, "sha256": f.sum}, func(w io.Writer, p pluginView) {
				printPlugin(w, p)
				if !p.Enabled {
					fmt.Fprintf(w, "next: tresor plugin set %[1]s KEY=VALUE, tresor plugin test %[1]s, tresor plugin enable %[1]s\n", clean(p.Name))
				}
			})
		}}
	c.Flags().BoolVarP(&sure, "yes", "y", false, "do not ask")
	return c
}

// programFile is a file that an operator is about to trust.
type programFile struct {
	path, sum, owner string
	size             int64
	mode             os.FileMode
}

func lookAt(name string) (programFile, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return programFile{}, fault.Kinded("cli.plugin", fault.Invalid, err, "%q is not a usable path.", name)
	}
	in, err := os.Open(path)
	if err != nil {
		return programFile{}, unreadable(name, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return programFile{}, unreadable(name, err)
	}
	if !info.Mode().IsRegular() {
		return programFile{}, fault.WithNext(fault.New("cli.plugin", fault.Invalid, "%s is not a file.", name), "Name the plugin's program.")
	}
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return programFile{}, unreadable(name, err)
	}
	f := programFile{path: path, sum: hex.EncodeToString(h.Sum(nil)), size: info.Size(), mode: info.Mode(), owner: "unknown"}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.owner = strconv.Itoa(int(st.Uid))
		if u, err := user.LookupId(f.owner); err == nil {
			f.owner = u.Username
		}
	}
	return f, nil
}

// confirm shows what is to be trusted and asks. Without an answer it is no.
func (f programFile) confirm(e *env) error {
	facts(e.err, "file", f.path, "sha256", f.sum, "size", size(f.size), "owner", f.owner, "mode", f.mode.String())
	fmt.Fprint(e.err, "Run this program as a plugin? It will have no data and no network of its own, but it speaks for the appliance. [y/N] ")
	line, _ := bufio.NewReader(e.in).ReadString('\n') // no answer is no
	if word := strings.ToLower(strings.TrimSpace(line)); word == "y" || word == "yes" {
		return nil
	}
	return fault.WithNext(fault.New("cli.plugin", fault.Denied, "The plugin was not trusted."), "Compare the SHA-256 with the one that its maker published, then answer y, or use --yes.")
}

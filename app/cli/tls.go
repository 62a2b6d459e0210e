package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

func caFile(data string) string { return filepath.Join(data, "tls", "local-ca.crt") }

func newTLS(e *env) *cobra.Command {
	return group("tls", "Certificates", "", &cobra.Command{
		Use: "ca", Short: "Print the certificate of the appliance's own authority, for browsers to trust (tls.mode = local)", Args: cobra.NoArgs,
		Example: "  tresor tls ca > tresor-ca.crt",
		RunE: func(*cobra.Command, []string) error {
			b, err := os.ReadFile(caFile(e.data))
			if err != nil {
				return fault.WithNext(fault.Kinded("cli.tls", fault.NotFound, err, "This appliance has no authority of its own."),
					"It is made by `tresor init` when tls.mode is local.")
			}
			_, err = e.out.Write(b)
			return err
		}})
}

// publicHTTP is a client for the public door that trusts the appliance's own
// authority beside the system's.
func publicHTTP(data string) (*http.Client, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if b, err := os.ReadFile(caFile(data)); err == nil {
		pool.AppendCertsFromPEM(b)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}, nil
}

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if e.json {
				return printJSON(e.out, map[string]string{"version": Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(e.out, "tresor %s (%s, %s/%s)\n", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}}
}

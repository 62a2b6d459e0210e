package podman_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"tresor/sandbox/podman"
)

var update = flag.Bool("update", false, "rewrite golden files")

const golden = "testdata/probe.golden"

// TestProbeGolden holds everything a program in the sandbox can do. A difference means
// that the sandbox became wider or narrower: look before you use -update.
func TestProbeGolden(t *testing.T) {
	got, err := podman.Probe(t.Context(), rig.runner, rig.image)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the sandbox differs from %s:\n%s", golden, difference(string(want), string(got)))
	}
}

// difference lists lines that only one side has.
func difference(want, got string) string {
	var out strings.Builder
	for _, side := range []struct{ mark, of, other string }{{"- ", want, got}, {"+ ", got, want}} {
		have := map[string]bool{}
		for _, l := range strings.Split(side.other, "\n") {
			have[strings.TrimSuffix(l, ",")] = true
		}
		for _, l := range strings.Split(side.of, "\n") {
			if !have[strings.TrimSuffix(l, ",")] {
				out.WriteString(side.mark + l + "\n")
			}
		}
	}
	return out.String()
}

type report struct {
	Account    struct{ UID, GID int }
	Privileges map[string]string
	Network    struct {
		Families                        map[string]string
		RawSocket                       string `json:"raw_socket"`
		Interfaces                      []string
		Routes                          int
		ConnectOutside, ConnectMetadata string
		Resolve                         string
	}
	Namespaces map[string]string
	Mounts     map[string]string
	Writable   []string
	Files      struct {
		Files          map[string]string
		WritableInProc []string `json:"writable_in_proc"`
		WritableInSys  []string `json:"writable_in_sys"`
	} `json:"proc_and_sys"`
	Descriptors map[string]string
	Environment []string
	Attempts    map[string]string
	Host        struct{ Hostname string }
}

// TestProbeRefusals says what must never work, whatever the golden file holds.
func TestProbeRefusals(t *testing.T) {
	b, err := podman.Probe(t.Context(), rig.runner, rig.image)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Account.UID != 1000 || r.Account.GID != 1000 {
		t.Errorf("runs as %d:%d", r.Account.UID, r.Account.GID)
	}
	for _, c := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if strings.Trim(r.Privileges[c], "0") != "" || r.Privileges[c] == "" {
			t.Errorf("%s is %q", c, r.Privileges[c])
		}
	}
	if r.Privileges["NoNewPrivs"] != "1" || r.Privileges["Seccomp"] != "2" {
		t.Errorf("no_new_privs %s, seccomp %s", r.Privileges["NoNewPrivs"], r.Privileges["Seccomp"])
	}
	for name, got := range r.Network.Families {
		allowed := name == "UNIX" || name == "INET" || name == "INET6"
		if (got == "works") != allowed {
			t.Errorf("socket family %s: %s", name, got)
		}
	}
	if r.Network.Families["NETLINK"] != "EINVAL" {
		t.Errorf("netlink answers %s; Jupyter kernels need EINVAL", r.Network.Families["NETLINK"])
	}
	if len(r.Network.Interfaces) != 1 || r.Network.Interfaces[0] != "lo" || r.Network.Routes != 0 || r.Network.RawSocket == "works" || r.Network.Resolve == "works" {
		t.Errorf("network: %+v", r.Network)
	}
	for _, m := range []map[string]string{r.Namespaces, r.Attempts} {
		for what, got := range m {
			if got == "works" || got == "possible" {
				t.Errorf("%s works", what)
			}
		}
	}
	for p, m := range r.Mounts {
		if strings.Contains(m, "rw") && !strings.Contains(" /work /tmp /dev/shm /dev/mqueue /dev/pts /dev/null /dev/zero /dev/full /dev/tty /dev/random /dev/urandom /proc ", " "+p+" ") {
			t.Errorf("mounted writable: %s %s", p, m)
		}
	}
	for _, w := range r.Writable {
		if !strings.HasPrefix(w, "/work") && w != "/tmp" && w != "/dev/shm" && w != "/dev/mqueue" {
			t.Errorf("writable: %s", w)
		}
	}
	for p, got := range r.Files.Files {
		if strings.HasSuffix(got, "write works") {
			t.Errorf("%s: %s", p, got)
		}
	}
	if len(r.Files.WritableInProc)+len(r.Files.WritableInSys) != 0 {
		t.Errorf("writable: %v %v", r.Files.WritableInProc, r.Files.WritableInSys)
	}
	if len(r.Descriptors) != 3 {
		t.Errorf("open files: %v", r.Descriptors)
	}
	if r.Host.Hostname != "work" {
		t.Errorf("hostname %s", r.Host.Hostname)
	}
}

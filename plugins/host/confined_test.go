package host_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tresor/plugins/protocoltest"
)

// TestConfined: what the process of a plugin tries and may not.
func TestConfined(t *testing.T) {
	p, _ := hostile(t, "", nil)
	adapter(t, p)
	if c := p.State().Confined; !c.Checked || !c.Landlock || !c.Seccomp || !c.Memory || !c.Network {
		t.Skipf("SKIP: this kernel cannot confine a plugin: %s", c.Text)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("canary-of-the-data-folder"), 0o666); err != nil {
		t.Fatal(err)
	}
	tcp, _ := net.Listen("tcp", "127.0.0.1:0")
	unix, _ := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	abstract, _ := net.Listen("unix", "@tresor-test-"+strconv.Itoa(os.Getpid()))
	datagram, _ := net.ListenPacket("unixgram", filepath.Join(t.TempDir(), "d"))
	open, err := os.MkdirTemp("", "open") // what the system's log is like: everybody may send to it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(open)
	everybody, _ := net.ListenPacket("unixgram", filepath.Join(open, "log"))
	for _, name := range []string{open, filepath.Join(open, "log")} {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []interface{ Close() error }{tcp, unix, abstract, datagram, everybody} {
		defer l.Close()
	}
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct{ name, path, arg string }{
		{"reads the account file", "/read", "/etc/passwd"},
		{"reads the password file", "/read", "/etc/shadow"},
		{"reads the data folder", "/read", secret},
		{"reads the server's environment", "/read", "/proc/" + self + "/environ"},
		{"reads the server's memory map", "/read", "/proc/" + self + "/maps"},
		{"reads the mounts", "/read", "/proc/mounts"},
		{"reads a device", "/read", "/dev/urandom"},
		{"lists the root", "/list", "/"},
		{"lists the folder above", "/list", ".."},
		{"lists /tmp", "/list", os.TempDir()},
		{"writes above", "/write", "../x"},
		{"writes to /tmp", "/write", filepath.Join(os.TempDir(), "hostile-was-here")},
		{"writes to the data folder", "/write", secret},
		{"empties a file", "/truncate", secret},
		{"removes a file", "/remove", secret},
		{"opens a file to all", "/chmod", secret},
		{"takes a file", "/chown", secret},
		{"links a file in", "/link", secret},
		{"links to a file", "/symlink", secret},
		{"goes elsewhere", "/chdir", "/"},
		{"calls out by TCP", "/tcp", tcp.Addr().String()},
		{"calls out by UDP", "/udp", "127.0.0.1:53"},
		{"calls a unix socket", "/unix", unix.Addr().String()},
		{"calls an abstract socket", "/unix", abstract.Addr().String()},
		{"sends to a unix socket", "/unixgram", datagram.LocalAddr().String()},
		{"sends to a unix socket from a pair", "/pairgram", everybody.LocalAddr().String()},
		{"listens on TCP", "/listen", ""},
		{"speaks netlink", "/netlink", ""},
		{"speaks vsock", "/vsock", ""},
		{"starts a program", "/start", "/bin/true"},
		{"becomes a program", "/exec", "/bin/true"},
		{"forks", "/fork", ""},
		{"makes namespaces", "/unshare", ""},
		{"mounts", "/mount", ""},
		{"traces the server", "/ptrace", self},
		{"signals the server", "/signal", self},
		{"has the server signalled", "/owner", self},
		{"makes memory outside the bound", "/memfd", ""},
		{"shares memory outside the bound", "/shared", ""},
		{"reads the key store", "/keyctl", ""},
		{"loads BPF", "/bpf", ""},
		{"opens an io_uring", "/uring", ""},
		{"becomes root", "/setuid", ""},
		{"outlives the server", "/undying", ""},
		{"leaves its group", "/setsid", ""},
		{"raises its limits", "/limit", ""},
		{"raises its priority", "/urgent", ""},
		{"writes one file without end", "/big", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ask(t, p, c.path, c.arg, &protocoltest.Host{})
			if err != nil || strings.HasPrefix(got, "DONE") || got == "" || strings.Contains(got, "canary") {
				t.Errorf("it got %q, error %v", got, err)
			}
		})
	}
	if b, _ := os.ReadFile(secret); string(b) != "canary-of-the-data-folder" {
		t.Errorf("the data folder's file is now %q", b)
	}
	for _, c := range []struct{ path, arg string }{{"/write", "own"}, {"/read", "own"}, {"/list", "."}, {"/remove", "own"}, {"/self", ""}} {
		if got, err := ask(t, p, c.path, c.arg, &protocoltest.Host{}); err != nil || !strings.HasPrefix(got, "DONE") {
			t.Errorf("in its own place, %s answers %q, %v", c.path, got, err)
		}
	}
	if got, _ := ask(t, p, "/environ", "", &protocoltest.Host{}); strings.Contains(got, "HOME=") || strings.Contains(got, "/tmp") {
		t.Errorf("its environment: %s", got)
	}
	if got, _ := ask(t, p, "/files", "", &protocoltest.Host{}); strings.Contains(got, ":100000") {
		t.Errorf("it holds a plain file: %s", got)
	}
	if s := p.State(); s.Starts != 1 {
		t.Errorf("it was started %d times: %s", s.Starts, s.LastError)
	}
}

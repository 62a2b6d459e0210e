// Package confine takes everything away from a plugin process before the plugin
// begins: Main is run as a program of its own (`tresor plugin-shim`), which bounds
// and locks itself, tries whether the locks hold, tells the host and then becomes
// the plugin.
//
// It takes away: other files than the plugin's own folder and program (Landlock),
// the network, other processes and every system call that a translator does not
// need (seccomp), memory, files and threads beyond a bound (rlimits), every
// capability, and, when started as root, root. What the kernel cannot do is
// reported, not hidden; what it says it does but does not is a refusal to start.
// The package decides nothing about plugins and keeps nothing.
package confine

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Word is the word after the program's name that reaches Main.
const Word = "plugin-shim"

// Spec says what to become and within what bounds.
type Spec struct {
	Path    string   `json:"path"` // absolute
	Args    []string `json:"args"` // after the program's name
	Env     []string `json:"env"`  // all of its environment
	Dir     string   `json:"dir"`  // the plugin's own folder: its working directory
	Memory  int64    `json:"memory,omitempty"`
	Account int      `json:"account,omitempty"` // numeric account and group to become; 0: stay
	Parent  int      `json:"parent"`            // pid of the host
	Own     bool     `json:"own,omitempty"`     // our own program: it may load the system's shared libraries
}

// Arg is the one argument of Main.
func (s Spec) Arg() string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Report is what holds for a plugin process.
type Report struct {
	Landlock bool   `json:"landlock"` // it reaches no file outside its own folder
	Seccomp  bool   `json:"seccomp"`  // it makes no system call outside the list
	Memory   bool   `json:"memory"`   // its memory is bounded
	Network  bool   `json:"network"`  // it has no network
	Account  bool   `json:"account"`  // it runs in an account of its own
	Checked  bool   `json:"checked"`  // all of this was tried in the process before the plugin began
	Text     string `json:"text"`     // for people: what holds and what does not, and why
}

// message is what Main writes to the host.
type message struct {
	Report
	Error string `json:"error,omitempty"`
}

// reportFile is the descriptor that Main writes its message to.
const reportFile = 3

// Read reads Main's message from the other end of its pipe; the error is Main's refusal.
func Read(r io.Reader) (Report, error) {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return Report{}, fmt.Errorf("the plugin's confinement did not report: %w", err)
	}
	var m message
	if json.Unmarshal(b, &m) != nil {
		return Report{}, fmt.Errorf("the plugin's confinement ended before it reported")
	}
	if m.Error != "" {
		return m.Report, fmt.Errorf("the plugin was not started: %s", m.Error)
	}
	return m.Report, nil
}

// Main confines this process and becomes the plugin. It returns only when that failed.
func Main(args []string) int {
	runtime.LockOSThread() // Landlock and seccomp bind the thread; the others end when it becomes the plugin
	out := os.NewFile(reportFile, "report")
	var s Spec
	err := fmt.Errorf("it is started by the server, not by hand")
	if len(args) == 1 && json.Unmarshal([]byte(args[0]), &s) == nil {
		err = become(s, out)
	}
	b, _ := json.Marshal(message{Error: err.Error()})
	if _, werr := out.Write(b); werr != nil {
		fmt.Fprintln(os.Stderr, "tresor "+Word+":", err)
	}
	return 1
}

// become does everything in the one order that works: descriptors while files can
// still be opened, the account while there is the right to change it, the locks last.
func become(s Spec, out io.Writer) error {
	p, err := open(s)
	if err != nil {
		return err
	}
	var r Report
	var lacks []string
	if err := bound(s, &r); err != nil {
		return err
	}
	if err := leaveRoot(s, &r); err != nil {
		return err
	}
	if err := stayChild(s.Parent); err != nil {
		return err
	}
	before := tryBefore()
	if lack, err := landlock(p, &r); err != nil {
		return err
	} else if lack != "" {
		lacks = append(lacks, lack)
	}
	if lack, err := seccomp(p.program, &r); err != nil {
		return err
	} else if lack != "" {
		lacks = append(lacks, lack)
	}
	if err := check(s, before, &r); err != nil {
		return err
	}
	r.Text = text(s, r, lacks)
	if err := json.NewEncoder(out).Encode(message{Report: r}); err != nil {
		return err
	}
	return p.exec(s)
}

// stayChild makes this process end with the host: a change of account forgets
// what the host set when it started us.
func stayChild(parent int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot tie the plugin's life to the server's: %w", err)
	}
	if os.Getppid() != parent {
		return fmt.Errorf("the server ended while the plugin was starting")
	}
	return nil
}

// text says in words what holds.
func text(s Spec, r Report, lacks []string) string {
	var has []string
	for _, x := range []struct {
		ok   bool
		word string
	}{
		{r.Landlock, "no files but its own folder (Landlock)"}, {r.Network, "no network"},
		{r.Seccomp, "no other processes (seccomp)"}, {r.Memory, fmt.Sprintf("at most %d MB of memory", s.Memory>>20)},
		{r.Account, "an account of its own"},
	} {
		if x.ok {
			has = append(has, x.word)
		}
	}
	if !r.Memory {
		lacks = append(lacks, "its memory is not bounded")
	}
	if !r.Account {
		lacks = append(lacks, "it runs in the server's account, because only a server that runs as root can give it another")
	}
	out := "Tried before the plugin began: " + strings.Join(has, ", ") + "."
	if len(has) == 0 {
		out = "Nothing holds this plugin."
	}
	if len(lacks) > 0 {
		out += " Not here: " + strings.Join(lacks, "; ") + "."
	}
	return out
}

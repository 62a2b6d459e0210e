package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// A Project keeps one folder of a container in step with the project's files behind the
// task service: Fetch writes what is new there into the folder, Send puts what is new in
// the folder there. Both are asked for at the moments that matter to a workflow engine (see
// Gate); between them the folder is a plain one.
//
// A file is known by the version that the folder has seen of it. What both sides have
// changed is a conflict: it stays as it is in the folder, and Send refuses it. What the
// command removes from the folder stays in the project. Nothing in the folder is trusted
// to be what it was: it is reached as any volume is, and never by way of a link.
type Project struct {
	target string // in the container, at or below sandbox.ProjectFolder
	where  string // the same for this process
	say    func(format string, args ...any)
	limit  int64 // bytes of one file
	link   *projectLink

	mu      sync.Mutex
	files   map[string]*known // by path below the folder
	waiting map[string]remote // versions that the folder has not seen because the command's own file is in their place
	tag     string            // of the last list that was read to its end
	bytes   int64             // of all files
	said    map[string]bool
	over    Refusals // what Finish could not keep
}

// known is a file that the folder and the project have had in common.
type known struct {
	sum   string // SHA-256 of the version that the folder has seen
	stamp stamp  // of the file when it had that content; zero: look again
	size  int64  // bytes of that version
}

// The most that a folder has in common with the project before no more is fetched into it.
// Beyond it files stay behind the task service.
var (
	mostProjectFiles = 20_000
	mostProjectBytes = int64(4 << 30)
)

// NewProject answers the keeper of one folder. dial connects to the task service; say
// writes a line into the log; limit is the largest file that may be written, in bytes.
func NewProject(target, where string, limit int64, dial func(context.Context) (net.Conn, error), say func(string, ...any)) *Project {
	return &Project{target: target, where: where, say: say, limit: limit, link: newProjectLink(target, dial),
		files: map[string]*known{}, waiting: map[string]remote{}, said: map[string]bool{}}
}

// know notes the version of a file that both sides have now.
func (p *Project) know(name string, k *known) {
	if was := p.files[name]; was != nil {
		p.bytes -= was.size
	}
	p.files[name] = k
	p.bytes += k.size
}

// once says a thing about a file, one time; after a hundred no more.
func (p *Project) once(name, why string) {
	if p.said[name+why] || len(p.said) > 100 {
		return
	}
	p.said[name+why] = true
	if len(p.said) > 100 {
		p.say("there is more to say about files in %s, and it is not said", sandbox.Printable(p.target))
		return
	}
	p.say("%s: %s", sandbox.Printable(path.Join(p.target, name)), why)
}

// Refused are the files that Finish could not keep, and why. A nil Project has none.
func (p *Project) Refused() []sandbox.Refusal {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over.List()
}

// open opens the folder itself.
func (p *Project) open() (*volume, error) { return openVolume(p.target, p.where) }

// A stamp tells two states of a file apart without reading it. Every change of a file
// moves its ctime, which a program cannot set.
type stamp struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
	runs         bool
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{st.Ino, st.Size, st.Mtim, st.Ctim, st.Mode&0o111 != 0}
}

// settled answers the stamp of a file that was looked at just now, if a file that has it
// later cannot have changed since. One that was changed in the present tick of the kernel's
// clock may change again within it: its stamp is worth nothing.
func (s stamp) settled() stamp {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil || s.ctime.Nano() >= now.Nano() {
		return stamp{}
	}
	return s
}

// A Denial is what the task service answered instead of keeping or giving a file.
type Denial struct {
	Status int
	File   string // below the folder, when the answer names one
	Text   string // for people
}

func (d *Denial) Error() string { return d.Text }

// final says whether asking again would bring the same answer: not where the service is
// in trouble or asks for patience. What it says about one file stays true.
func final(err error) bool {
	var d *Denial
	return errors.As(err, &d) && (d.File != "" || d.Status < http.StatusInternalServerError && d.Status != http.StatusTooManyRequests)
}

// at names the file of an error.
func at(name string, err error) error { return fmt.Errorf("%s: %w", sandbox.Printable(name), err) }

// ownProject says whether a path below the folder is the sandbox's own.
func ownProject(name string) bool {
	return name == OwnDir || strings.HasPrefix(name, OwnDir+"/")
}

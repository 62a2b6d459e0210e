package agent

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// exitTrouble is the exit code of an agent that could not do its work.
const exitTrouble = 125

// Main is `tresor agent [DIR]`: the first process of a sandbox. args are what follows
// the word agent; DIR is where the host shows its files. It answers the exit code of the
// command: 128+n for signal n, 127 not found, 126 not executable, 125 trouble of its own.
func Main(args []string) int {
	dir := Dir
	if len(args) > 0 {
		dir = args[0]
	}
	// Not dumpable: the command runs under the same uid and must not trace us or open our files.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return trouble(err)
	}
	c, err := readConfig(filepath.Join(dir, ConfigName))
	if err != nil {
		return trouble(err)
	}
	if len(c.Points) > 0 {
		return makePoints(c)
	}
	a, err := newAgent(c)
	if err != nil {
		return trouble(err)
	}
	return a.live(filepath.Join(dir, SocketName))
}

func trouble(err error) int {
	fmt.Fprintln(os.Stderr, "tresor agent:", err)
	return exitTrouble
}

// agent is the state of one sandbox, seen from inside.
type agent struct {
	config Config
	spool  *Spool
	cmd    *command
	done   chan struct{} // closed when the host wants no more
}

func newAgent(c Config) (*agent, error) {
	spool, err := openSpool(c)
	if err != nil {
		return nil, err
	}
	a := &agent{config: c, spool: spool, done: make(chan struct{}, 1)}
	a.cmd = newCommand(c, spool)
	return a, nil
}

// live starts the command, then answers the host until it has what it wants.
func (a *agent) live(socket string) int {
	// One that waits stands for all children that have ended; it has a channel of its own,
	// because a full one loses signals, and a child that nobody reaps is a command without end.
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals) // all of them: none may end the first process, and SIGXFSZ becomes an error of the write
	if a.config.Collect {
		a.cmd.skip()
		a.spool.End()
	} else {
		go a.cmd.start()
	}
	go a.serve(socket)
	return a.wait(children, signals)
}

// lateExit is how long after its wall time an agent still waits for the host. Then it
// goes, with the right exit code, before the engine's own clock kills it with the wrong one.
const lateExit = 30 * time.Second

func (a *agent) wait(children, signals <-chan os.Signal) int {
	late := time.NewTimer(a.config.Wall + lateExit)
	for {
		select {
		case <-a.done:
			return a.cmd.exitCode()
		case <-late.C:
			<-a.cmd.over
			return a.cmd.exitCode()
		case <-children:
			a.cmd.reap()
		case s := <-signals:
			if s == unix.SIGTERM || s == unix.SIGINT { // the engine wants us gone
				a.cmd.stop(stopGrace)
				go func() { <-a.cmd.over; a.finish() }()
			}
		}
	}
}

// stopGrace is what a command gets when the engine, not the host end, stops the container.
const stopGrace = 5 * time.Second

func (a *agent) finish() {
	select {
	case a.done <- struct{}{}:
	default:
	}
}

// openSpool finds a place for the log. In scratch it outlives the container; without
// scratch it lies nameless in /tmp. The collector finds what the first agent wrote.
func openSpool(c Config) (*Spool, error) {
	if len(c.Scratch) > 0 {
		f, turns, err := openScratchLog(c)
		if c.Collect {
			return collected(f, turns, err, c.LogSize), nil
		}
		if err == nil {
			s := NewSpool(f, c.LogSize)
			s.marks.file = turns
			return s, nil
		}
		if os.IsExist(err) { // this container was started before, and no attempt may run twice
			return nil, fmt.Errorf("this attempt has run already: %w", err)
		}
	}
	fd, err := unix.Open("/tmp", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("no place for the log: %w", err)
	}
	return NewSpool(os.NewFile(uintptr(fd), "log"), c.LogSize), nil
}

// openScratchLog opens the log and the file that says which of it is standard error.
func openScratchLog(c Config) (log, turns *os.File, err error) {
	root, err := os.OpenRoot(c.Scratch[0])
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	if c.Collect {
		name, flags := filepath.Join(OwnDir, c.Log), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK
		turns, _ = root.OpenFile(name+".err", flags, 0) // without it all is standard output
		log, err = root.OpenFile(name+".log", flags, 0)
		return log, turns, err
	}
	if err := root.Mkdir(OwnDir, 0o700); err != nil && !os.IsExist(err) {
		return nil, nil, err
	}
	name, flags := filepath.Join(OwnDir, c.Ref), os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW
	if log, err = root.OpenFile(name+".log", flags, 0o600); err != nil {
		return nil, nil, err
	}
	_ = root.Remove(name + ".err") // an earlier task may have guessed the name
	turns, err = root.OpenFile(name+".err", flags, 0o600)
	return log, turns, err
}

// collected shows the collector the log as the first agent left it; a log that is gone is empty.
func collected(f, turns *os.File, err error, limit int64) *Spool {
	s := NewSpool(f, limit)
	if err != nil {
		return s
	}
	if size, ok := regular(f); ok {
		s.kept = min(size, limit+markerRoom)
	}
	if _, ok := regular(turns); ok {
		s.marks = readMarks(turns)
	}
	return s
}

func regular(f *os.File) (size int64, ok bool) {
	if f == nil {
		return 0, false
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return 0, false
	}
	return st.Size(), true
}

// markerRoom is how much of our own words a log may hold beyond its cap.
const markerRoom = 4096

package agent

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"tresor/sandbox"
)

// makePoints is the whole life of the agent that goes before a container in which inputs
// are mounted inside a scratch volume: the runtime would make their folders as root, follow
// the links of an earlier task, and wait for its named pipes. It answers ExitUnplaced when something is in the way.
func makePoints(c Config) int {
	p := c.Placer()
	for _, point := range c.Points {
		if err := p.in(point.Path, func(v *volume) error { return v.point(point.Path, point.Directory) }); err != nil {
			return sandbox.ExitUnplaced
		}
	}
	return 0
}

// place lays out the files of the command. The error is for people.
func (c *command) place() (err error) {
	c.streams, err = LayOut(c.ctx, c.config.Placer(), c.config, c.spool)
	return err
}

// LayOut makes everything that a command finds before it: folders, copies, the parents of
// outputs, its working directory; and opens its streams. The spool passes what it gets on
// to them. The error is for people, or the context's.
func LayOut(ctx context.Context, p Placer, c Config, s *Spool) (*Streams, error) {
	if c.Fail != "" {
		return nil, fmt.Errorf("the input could not be placed: %s", c.Fail)
	}
	for _, f := range c.Folders {
		if err := p.Folder(f); err != nil {
			return nil, fmt.Errorf("the folder could not be made: %w", err)
		}
	}
	for _, k := range c.Copies {
		if err := p.Copy(ctx, k); err != nil {
			return nil, fmt.Errorf("the input could not be placed: %w", err)
		}
	}
	p.Parents(c.Outputs)
	if _, inside := holder(c.Scratch, c.Workdir); inside {
		if _, shown := holder(c.Binds, c.Workdir); !shown {
			_ = p.Folder(c.Workdir) // what is wrong with it, the start of the command says
		}
	}
	return openStreams(p, c, s)
}

// Parents makes the directories in which the declared outputs are to appear, so that a
// command can write them at once. It does what it can; a command that misses a directory says so itself.
func (p Placer) Parents(outputs []string) {
	for _, o := range outputs {
		dir := path.Dir(o)
		if i := strings.IndexAny(o, `*?[\`); i >= 0 {
			dir = path.Dir(o[:i] + "x")
		}
		if target, ok := holder(p.Scratch, dir); ok && dir != target {
			_ = p.Folder(dir)
		}
	}
}

// Streams are the files of the standard streams. The zero value and nil are none.
type Streams struct {
	In        *os.File // nil: nothing to read
	out, errs *os.File
}

func openStreams(p Placer, c Config, s *Spool) (f *Streams, err error) {
	f = &Streams{}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if c.Stdin != "" {
		if f.In, err = p.Open(c.Stdin); err != nil {
			return f, fmt.Errorf("the file for standard input could not be opened: %w", err)
		}
	}
	var out, errs *tee
	if c.Stdout != "" {
		if f.out, err = p.Create(c.Stdout); err != nil {
			return f, fmt.Errorf("the file for standard output could not be made: %w", err)
		}
		out = newTee(f.out, c.FileSize, c.Stdout, s)
	}
	if c.Stderr != "" && c.Stderr == c.Stdout {
		errs = out
	} else if c.Stderr != "" {
		if f.errs, err = p.Create(c.Stderr); err != nil {
			return f, fmt.Errorf("the file for standard error could not be made: %w", err)
		}
		errs = newTee(f.errs, c.FileSize, c.Stderr, s)
	}
	s.Tee(out.writer(), errs.writer())
	return f, nil
}

// Close closes the files. Nothing may be written to the spool after it.
func (f *Streams) Close() {
	if f == nil {
		return
	}
	for _, file := range []*os.File{f.In, f.out, f.errs} {
		if file != nil {
			file.Close()
		}
	}
}

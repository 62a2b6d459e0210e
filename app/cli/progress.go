package cli

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// watched reports whether a person sees the error stream: a terminal, and no --json.
func (e *env) watched() bool {
	f, ok := e.err.(*os.File)
	return ok && !e.json && term.IsTerminal(int(f.Fd()))
}

// newBar returns a progress bar on the error stream, or a sink where no person
// watches. total is in bytes; -1 when unknown.
func newBar(e *env, total int64, what string) io.Writer {
	if !e.watched() {
		return io.Discard
	}
	return newMeter(e, total, what)
}

// newMeter draws at once, whoever watches.
func newMeter(e *env, total int64, what string) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWriter(e.err),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
	)
}

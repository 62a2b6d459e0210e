package gateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tresor/app/fault"
)

// What the programs of one job, and of the jobs that they make, may put into the
// project's tree. A file that is replaced keeps its bytes on the disk, and each file
// is an event in the audit log, many of one request together, so neither may go on for ever.
const (
	putBurst = 200
	putBytes = 20 << 30
	putFiles = 20_000
	mostPuts = 4096 // jobs that are remembered
)

var putEvery = rate.Every(100 * time.Millisecond)

// allowances remembers what was put, by the job at which it began. A restart forgets it.
type allowances struct {
	mu  sync.Mutex
	all map[string]*allowance
}

type allowance struct {
	pace  *rate.Limiter
	files int
	bytes int64
	used  time.Time
}

func newAllowances() *allowances { return &allowances{all: map[string]*allowance{}} }

// take counts one file and answers how many bytes it may have. Errors: Exhausted.
func (a *allowances) take(key string, now time.Time) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.all[key]
	if x == nil {
		if len(a.all) >= mostPuts {
			a.sweep(now)
		}
		if len(a.all) >= mostPuts {
			return 0, refuse(CodeQuota, fault.Exhausted, "Try again in some minutes.", "Too many jobs put files into their projects now.")
		}
		x = &allowance{pace: rate.NewLimiter(putEvery, putBurst)}
		a.all[key] = x
	}
	x.used = now
	switch left := min(putBytes-x.bytes, MaxInsideFile); {
	case !x.pace.AllowN(now, 1):
		return 0, refuse(CodeQuota, fault.Exhausted, "Wait a second between files, or post them as one archive.", "The job puts files faster than ten a second.")
	case x.files >= putFiles:
		return 0, tooMany()
	case left <= 0:
		return 0, refuse(CodeQuota, fault.Exhausted, "Leave large results as outputs of a task.", "The job has put as many bytes as it may.")
	default:
		x.files++
		return left, nil
	}
}

// another counts one more file of a request that take has let in, and answers how
// many of the bytes that are left it may have. Errors: Exhausted.
func (a *allowances) another(key string, left int64) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.all[key]
	if x == nil { // swept: it has put nothing for a day
		return left, nil
	}
	if x.files >= putFiles {
		return 0, tooMany()
	}
	x.files++
	return min(left, putBytes-x.bytes), nil
}

func tooMany() error {
	return refuse(CodeQuota, fault.Exhausted, "Pack files into one.", "The job has put %d files, which is as many as it may.", putFiles)
}

// spent counts bytes that were kept, whether or not a row names them.
func (a *allowances) spent(key string, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.all[key]; x != nil {
		x.bytes += bytes
	}
}

// sweep forgets who has put nothing for a day; the caller holds mu.
func (a *allowances) sweep(now time.Time) {
	for key, x := range a.all {
		if now.Sub(x.used) > 24*time.Hour {
			delete(a.all, key)
		}
	}
}

package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A process without cgroups has no bound on processor time: the kernel gives it less
// than the server when both want it (package confine), and the host looks at what it
// uses. A plugin translates what it is asked; one that works much longer than its calls
// take is out of order.

// meter keeps what a process had used at the last looks, as far back as one span.
type meter struct{ looks []look }

// look is what a process had used at a moment.
type look struct {
	at    time.Time
	used  time.Duration // processor time, of all its threads
	asked time.Duration // the calls to it took, all together
}

// over adds a look and says what the process used over what it may: bound in every
// span, and the time of its calls.
func (m *meter) over(now look, bound, span time.Duration) string {
	m.looks = append(m.looks, now)
	for len(m.looks) > 2 && now.at.Sub(m.looks[1].at) >= span {
		m.looks = m.looks[1:]
	}
	old := m.looks[0]
	took := now.at.Sub(old.at)
	if took > span { // the looks came late
		bound = time.Duration(float64(bound) * float64(took) / float64(span))
	}
	used := now.used - old.used
	if used <= bound+now.asked-old.asked {
		return ""
	}
	return fmt.Sprintf("the plugin used %s of processor time in %s, without having been asked for so much; it was ended, and is started again after a pause",
		used.Round(100*time.Millisecond), took.Round(100*time.Millisecond))
}

// tick is the unit of times in /proc, the same on every Linux that Go runs on.
const tick = time.Second / 100

// processorTime is what a process has used with all its threads, those that ended
// included (proc_pid_stat(5): utime and stime, after the name in parentheses).
func processorTime(pid int) (time.Duration, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false // it has ended, or there is no /proc
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, false
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err == nil
}

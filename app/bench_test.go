package app_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/apptest"
	"tresor/app/job"
	"tresor/app/store"
)

// What the appliance promises about speed and size, each a ratio or a size from one run.
//
//	scripts/bench

const sandboxAccount = "tresor-sandbox"

// podmanRun is `podman run --rm` of the built-in image by the same account, in
// the namespaces of its service.
func podmanRun(b *testing.B, d *desk) func() error {
	pid, err := os.ReadFile("/run/" + sandboxAccount + "/libpod/tmp/pause.pid")
	if err != nil {
		b.Fatal(err)
	}
	image := ""
	if err := d.rig.App.DB.View(b.Context(), func(tx *store.Tx) error {
		i, err := d.rig.App.Images.Resolve(tx, "tresor/sql")
		image = strings.TrimPrefix(i.ID, "sha256:")
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return func() error {
		c := exec.Command("nsenter", "-t", strings.TrimSpace(string(pid)), "-m", "--", "setpriv", "--reuid", sandboxAccount, "--regid", sandboxAccount, "--clear-groups",
			"env", "-i", "HOME=/var/lib/"+sandboxAccount, "XDG_RUNTIME_DIR=/run/"+sandboxAccount, "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
			"podman", "run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", image, "/tresor", "version")
		c.Dir = "/"
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// desk submits jobs as one researcher. It hears of their states as the pages do,
// and submits past the door's rate limit, which is made for people.
type desk struct {
	rig     *apptest.Rig
	who     access.Actor
	project string
}

func newDesk(b *testing.B) *desk {
	r := apptest.Start(b, apptest.Options{Set: []string{"sandbox.cores=2", "limits.default.cores=1"}})
	rosa := r.SignIn("rosa")
	var pr struct{ ID string }
	rosa.Must("GET", "/projects/aurora", nil, &pr)
	p, err := r.App.Identity.ByHandle(b.Context(), "rosa")
	if err != nil {
		b.Fatal(err)
	}
	d := &desk{rig: r, who: access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Via: "web", Projects: map[string]access.Role{pr.ID: access.Researcher}}, project: pr.ID}
	for {
		if _, err := d.try(); err == nil {
			return d
		}
		time.Sleep(100 * time.Millisecond) // the image is being prepared
	}
}

func (d *desk) try() (string, error) {
	j, err := d.rig.App.Jobs.Submit(context.Background(), d.who, job.Submission{Project: d.project, Name: "no-op", Purpose: "bench", SQL: []job.Query{{Output: "a.csv", SQL: "SELECT 1 AS a"}}})
	return j.ID, err
}

func (d *desk) submit(b *testing.B) string {
	id, err := d.try()
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// held waits until the job's outputs are held.
func (d *desk) held(b *testing.B, id string) {
	news, end := d.rig.App.Live.Subscribe("job:"+id, 1000)
	defer end()
	for {
		j, err := d.rig.App.Jobs.Get(b.Context(), d.who, id)
		if err != nil {
			b.Fatal(err)
		}
		switch j.State {
		case "held":
			return
		case "failed", "cancelled":
			b.Fatalf("job is %s: %s", j.State, j.Reason)
		}
		<-news
	}
}

// BenchmarkNoopJob: a job from its submission over HTTP to its output held,
// against podman run of the same image. Under 1 we are faster than the command line.
func BenchmarkNoopJob(b *testing.B) {
	d := newDesk(b)
	plain := podmanRun(b, d)
	d.held(b, d.submit(b))
	if err := plain(); err != nil {
		b.Fatal(err)
	}
	var ours, theirs time.Duration
	n := 0
	for b.Loop() {
		begin := time.Now()
		d.held(b, d.submit(b))
		ours += time.Since(begin)
		begin = time.Now()
		if err := plain(); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(begin)
		n++
	}
	b.ReportMetric(float64(ours.Milliseconds())/float64(n), "ms/ours")
	b.ReportMetric(float64(theirs.Milliseconds())/float64(n), "ms/podman-run")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}

// BenchmarkBatch: 200 jobs two at a time, against 200 podman runs two at a time.
// The ratio is of throughput: over 1 we get more done.
func BenchmarkBatch(b *testing.B) {
	const jobs = 200
	d := newDesk(b)
	plain := podmanRun(b, d)
	for b.Loop() {
		begin := time.Now()
		var ids []string
		for range jobs {
			ids = append(ids, d.submit(b))
		}
		for _, id := range ids {
			d.held(b, id)
		}
		ours := time.Since(begin)
		begin = time.Now()
		work := make(chan struct{}, jobs)
		for range jobs {
			work <- struct{}{}
		}
		close(work)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range work {
					if err := plain(); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		theirs := time.Since(begin)
		b.ReportMetric(ours.Seconds(), "s/ours")
		b.ReportMetric(theirs.Seconds(), "s/podman-run")
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "throughput-ratio")
	}
}

// BenchmarkIdleAndStart: what all our processes hold in memory when nothing
// happens, and how long a start over an existing data folder takes until the
// first healthy answer.
func BenchmarkIdleAndStart(b *testing.B) {
	data := filepath.Join(apptest.Folder(b), "data")
	bin := apptest.Binary(b)
	launch := func() (*exec.Cmd, string) {
		cmd := exec.Command(bin, "serve", "--demo", "--data", data, "--listen", "127.0.0.1:18473", "--set", "tls.mode=off", "--set", "sandbox.allow_unlimited=true")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		return cmd, "http://127.0.0.1:18473/healthz"
	}
	healthy := func(url string) {
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			if resp, err := http.Get(url); err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return
				}
			}
		}
		b.Fatal("not healthy after 30 s")
	}
	end := func(cmd *exec.Cmd) { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }
	cmd, url := launch()
	healthy(url)
	time.Sleep(8 * time.Second) // image, demonstration
	end(cmd)
	for b.Loop() {
		begin := time.Now()
		cmd, url := launch()
		healthy(url)
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/start")
		time.Sleep(10 * time.Second)
		b.ReportMetric(float64(resident(b, cmd.Process.Pid))/1e6, "MB/idle")
		end(cmd)
	}
}

// resident is the proportional memory of the server and of everything that the
// account of the containers runs, in bytes.
func resident(b *testing.B, server int) int64 {
	total := pss(server)
	children, _ := exec.Command("pgrep", "-P", strconv.Itoa(server)).Output() // plugins; no child is no error of ours
	for _, f := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(f); err == nil && !ofSandbox(pid) {
			total += pss(pid)
		}
	}
	out, err := exec.Command("pgrep", "-u", sandboxAccount).Output()
	if err != nil && len(out) > 0 {
		b.Fatal(err)
	}
	for _, f := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(f); err == nil {
			total += pss(pid)
		}
	}
	return total
}

// ofSandbox reports whether a process belongs to the account of the containers.
func ofSandbox(pid int) bool {
	out, err := exec.Command("ps", "-o", "user:32=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.TrimSpace(string(out)) == sandboxAccount
}

func pss(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for _, line := range bytes.Split(raw, []byte("\n")) {
		if f := strings.Fields(string(line)); len(f) == 3 && f[0] == "Pss:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

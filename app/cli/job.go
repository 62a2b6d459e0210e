package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type jobView struct {
	asked
	ID          string     `json:"id"`
	Project     string     `json:"project"`
	ProjectName string     `json:"project_name"`
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Reason      string     `json:"reason"`
	Next        string     `json:"next"`
	CreatedAt   time.Time  `json:"created_at"`
	StartedAt   *time.Time `json:"started_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	Unlimited   bool       `json:"unlimited"`
	Request     string     `json:"airlock_request"`
	Submitter   struct {
		Handle string `json:"handle"`
	} `json:"submitter"`
	Queue *struct {
		Position int `json:"position"`
	} `json:"queue"`
	Datasets []struct {
		Slug    string `json:"slug"`
		Version int    `json:"version"`
	} `json:"datasets"`
	Tasks []struct {
		N        int      `json:"n"`
		Image    string   `json:"image"`
		ImageRef string   `json:"image_ref"`
		Argv     []string `json:"argv"`
		State    string   `json:"state"`
		ExitCode *int     `json:"exit_code"`
		Attempt  int      `json:"attempt"`
	} `json:"tasks"`
	Outputs []struct {
		ID     string `json:"id"`
		Path   string `json:"path"`
		Kind   string `json:"kind"`
		Rows   int    `json:"rows"`
		Size   int64  `json:"size"`
		State  string `json:"state"`
		SHA256 string `json:"sha256"`
	} `json:"outputs"`
	Refused []struct {
		Path   string `json:"path"`
		Reason string `json:"reason"`
	} `json:"refused"`
}

func newJob(e *env) *cobra.Command {
	return group("job", "Jobs: submit, follow, decide, cancel", "",
		jobList(e), jobShow(e), jobSubmit(e), jobWait(e), jobLog(e), jobPreview(e), jobUsage(e),
		jobDecide(e, "cancel", "Stop a job: its container ends, nothing is released, and a request for its outputs is withdrawn"),
		jobDecide(e, "approve", "Let a job that waits for a decision run"),
		jobDecide(e, "refuse", "Refuse a job that waits for a decision"))
}

func jobList(e *env) *cobra.Command {
	var project, state string
	var p paging
	c := &cobra.Command{Use: "list", Short: "List jobs, newest first", Args: cobra.NoArgs,
		Example: `  tresor job list --project aurora --state running,queued`,
		RunE: func(c *cobra.Command, _ []string) error {
			return list(c.Context(), e, &p, "/jobs", []string{"project", project, "state", state}, "job|project|name|state|by|submitted",
				func(j jobView) []string {
					return []string{j.ID, j.ProjectName, j.Name, j.State, j.Submitter.Handle, when(&j.CreatedAt)}
				})
		}}
	p.flags(c)
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().StringVar(&state, "state", "", "only these states, separated by commas")
	flagCompletes(e, c, "project", someProjects)
	flagCompletes(e, c, "state", words("submitted", "approved", "refused", "queued", "preparing", "running", "collecting", "held", "released", "rejected", "completed", "failed", "cancelled"))
	return c
}

func jobShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show JOB", Short: "Show one job with its tasks and outputs", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/jobs/"+esc(args[0]), nil, printJob)
		}}, someJobs)
}

func printJob(w io.Writer, j jobView) {
	limits, queue := "", ""
	if j.Unlimited {
		limits = "NOT ENFORCED on this host (sandbox.allow_unlimited)"
	}
	if j.Queue != nil && j.Queue.Position > 0 {
		queue = "position " + strconv.Itoa(j.Queue.Position)
	}
	var data []string
	for _, d := range j.Datasets {
		data = append(data, fmt.Sprintf("%s version %d", d.Slug, d.Version))
	}
	facts(w, "job", j.ID, "name", j.Name, "project", j.ProjectName, "by", j.Submitter.Handle, "came by", j.Via, "on behalf of", j.OnBehalf, "state", j.State, "reason", j.Reason, "next", j.Next,
		"waits for image", j.WaitingImage, "queue", queue, "limits", limits, "datasets", strings.Join(data, ", "), "submitted", when(&j.CreatedAt), "started", when(j.StartedAt),
		"ended", when(j.FinishedAt), "airlock request", j.Request)
	printTasks(w, j)
	printAsked(w, j.asked)
	printOutputs(w, j)
}

func printTasks(w io.Writer, j jobView) {
	var rows [][]string
	for _, t := range j.Tasks {
		exit := ""
		if t.ExitCode != nil {
			exit = strconv.Itoa(*t.ExitCode)
		}
		rows = append(rows, []string{strconv.Itoa(t.N), firstOf(t.ImageRef, t.Image), strings.Join(t.Argv, " "), t.State, exit, strconv.Itoa(t.Attempt)})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		table(w, "task|image|command|state|exit|attempt", rows)
	}
}

func printOutputs(w io.Writer, j jobView) {
	var rows [][]string
	for _, o := range j.Outputs {
		rows = append(rows, []string{o.ID, o.Path, o.Kind, strconv.Itoa(o.Rows), size(o.Size), o.State, o.SHA256})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		table(w, "output|path|kind|rows|size|state|sha256", rows)
	}
	for _, r := range j.Refused {
		fmt.Fprintf(w, "not taken: %s: %s\n", clean(r.Path), clean(r.Reason))
	}
}

func submitJob(ctx context.Context, e *env, s *submission, body map[string]any) error {
	path := "/projects/" + esc(s.project) + "/jobs"
	if !s.wait {
		return show(ctx, e, http.MethodPost, path, body, printJob)
	}
	var j jobView
	if err := e.client.do(ctx, http.MethodPost, path, body, &j); err != nil {
		return err
	}
	return waitAndShow(ctx, e, j.ID)
}

// ended lists the states in which a job needs nothing from the machine any more.
var ended = map[string]bool{"held": true, "released": true, "rejected": true, "completed": true, "failed": true, "cancelled": true, "refused": true}

func jobWait(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "wait JOB", Short: "Wait until a job is held or has ended otherwise", Args: cobra.ExactArgs(1),
		Long: "Exit code 0 when the outputs are held or further on, 5 when the job failed, was refused or was cancelled.",
		RunE: func(c *cobra.Command, args []string) error { return waitAndShow(c.Context(), e, args[0]) }}, someJobs)
}

func waitAndShow(ctx context.Context, e *env, id string) error {
	j, err := waitJob(ctx, e.client, id)
	if err != nil {
		return err
	}
	if err := show(ctx, e, http.MethodGet, "/jobs/"+esc(j.ID), nil, printJob); err != nil {
		return err
	}
	if j.State == "failed" || j.State == "refused" || j.State == "cancelled" {
		return fault.WithNext(fault.New("cli.job", fault.Conflict, "The job ended as %s: %s", j.State, firstOf(j.Reason, "no reason given")),
			"%s", firstOf(j.Next, "A member of the project reads why: tresor job log "+j.ID+" --as HANDLE"))
	}
	return nil
}

// waitJob asks until the job has ended; the pause grows to two seconds.
func waitJob(ctx context.Context, c *client, id string) (jobView, error) {
	pause := 50 * time.Millisecond
	for {
		var j jobView
		if err := c.do(ctx, http.MethodGet, "/jobs/"+esc(id), nil, &j); err != nil {
			return j, err
		}
		if ended[j.State] {
			return j, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return j, fault.WithNext(fault.Kinded("cli.wait", fault.Unavailable, err, "Stopped waiting; the job goes on (state %s).", j.State), "tresor job wait %s", j.ID)
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func jobLog(e *env) *cobra.Command {
	var from int64
	var follow bool
	c := &cobra.Command{Use: "log JOB", Short: "Print a job's log (members of its project only)", Args: cobra.ExactArgs(1),
		Example: `  tresor job log JOB --as rosa --follow`,
		RunE: func(c *cobra.Command, args []string) error {
			return printLog(c.Context(), e, args[0], from, follow)
		}}
	c.Flags().Int64Var(&from, "from", 0, "byte offset to start at")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the job has ended")
	return completes(e, c, someJobs)
}

// printLog copies the log from a byte on. To follow, it asks for the state
// before the bytes: what a job wrote before it ended is then never missed.
func printLog(ctx context.Context, e *env, id string, from int64, follow bool) error {
	for {
		over := true
		if follow {
			var j jobView
			if err := e.client.do(ctx, http.MethodGet, "/jobs/"+esc(id), nil, &j); err != nil {
				return err
			}
			over = ended[j.State]
		}
		n, err := logPart(ctx, e, id, from)
		from += n
		if err != nil || over {
			return err
		}
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return fault.Kinded("cli.log", fault.Unavailable, err, "Stopped following at byte %d; the job goes on.", from)
		}
	}
}

func logPart(ctx context.Context, e *env, id string, from int64) (int64, error) {
	path := "/jobs/" + esc(id) + "/log" + query("from", strconv.FormatInt(from, 10))
	resp, err := e.client.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(e.untrusted(), resp.Body)
	if err != nil {
		err = broken(err)
	}
	return n, err
}

func broken(err error) error {
	return fault.WithNext(fault.Kinded("cli.read", fault.Unavailable, err, "The server's answer broke off."), "Run the command again.")
}

func jobPreview(e *env) *cobra.Command {
	var offset, limit int64
	c := &cobra.Command{Use: "preview JOB [OUTPUT]", Short: "Look at a page of an output that is still inside (members of its project only)", Args: cobra.RangeArgs(1, 2),
		Long: "OUTPUT is an id or a path; it may be left out when the job has one output.",
		RunE: func(c *cobra.Command, args []string) error {
			var j jobView
			if err := e.client.do(c.Context(), http.MethodGet, "/jobs/"+esc(args[0]), nil, &j); err != nil {
				return err
			}
			var things []thing
			for _, o := range j.Outputs {
				things = append(things, thing{o.ID, o.Path})
			}
			id, err := pick(things, args[1:], "output", "tresor job show "+j.ID)
			if err != nil {
				return err
			}
			path := "/jobs/" + esc(j.ID) + "/outputs/" + esc(id) + "/preview" + window(offset, limit)
			return show(c.Context(), e, http.MethodGet, path, nil, printView)
		}}
	windowFlags(c, &offset, &limit)
	return completes(e, c, someJobs)
}

func jobUsage(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "usage JOB", Short: "Show what a running job uses now", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/jobs/"+esc(args[0])+"/usage", nil, func(w io.Writer, u struct {
				CPU    json.Number `json:"cpu_seconds"`
				Memory int64       `json:"memory"`
				Pids   int         `json:"pids"`
			}) {
				facts(w, "processor time", u.CPU.String()+" s", "memory", size(u.Memory), "processes", strconv.Itoa(u.Pids))
			})
		}}, someJobs)
}

func jobDecide(e *env, verb, short string) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: verb + " JOB", Short: short, Args: cobra.ExactArgs(1),
		Example: fmt.Sprintf("  tresor job %s JOB --reason \"agreed with the data steward\"", verb),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/jobs/"+esc(args[0])+"/"+verb, map[string]string{"reason": reason}, printJob)
		}}
	c.Flags().StringVar(&reason, "reason", "", "why (recorded)")
	if verb == "refuse" {
		required(c, "reason")
	}
	return completes(e, c, someJobs)
}

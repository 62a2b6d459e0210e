package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
	"tresor/embed/demo"
)

func newDemo(e *env) *cobra.Command {
	return group("demo", "The demonstration: public data, four people, one analysis",
		"Works with a server that was started by `tresor serve --demo`.", demoLinks(e), demoOnce(e), demoFederation(e))
}

func demoLinks(e *env) *cobra.Command {
	return &cobra.Command{Use: "links", Short: "Issue fresh one-time sign-in links for the demo people", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			links, err := demoSignInLinks(c.Context(), e)
			if err != nil {
				return err
			}
			if e.json {
				return printJSON(e.out, links)
			}
			for _, p := range demo.People {
				if l, ok := links[p.Handle]; ok {
					fmt.Fprintf(e.out, "%-12s %-18s %s\n", p.Part, p.Name, l)
				}
			}
			return nil
		}}
}

// demoSignInLinks returns handle → link for the people who sign in.
func demoSignInLinks(ctx context.Context, e *env) (map[string]string, error) {
	var all page[personView]
	if err := e.client.do(ctx, http.MethodGet, "/people", nil, &all); err != nil {
		return nil, err
	}
	byHandle := map[string]string{}
	for _, p := range all.Items {
		byHandle[p.Handle] = p.ID
	}
	links := map[string]string{}
	for _, p := range demo.People {
		if !p.SignsIn {
			continue
		}
		id, ok := byHandle[p.Handle]
		if !ok {
			return nil, fault.WithNext(fault.New("cli.demo", fault.NotFound, "The demo person %s does not exist on this server.", p.Handle), "Start it with `tresor serve --demo`.")
		}
		var l linkView
		if err := e.client.do(ctx, http.MethodPost, "/people/"+esc(id)+"/link", map[string]string{"kind": "demo"}, &l); err != nil {
			return nil, err
		}
		links[p.Handle] = l.URL
	}
	return links, nil
}

func demoOnce(e *env) *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{Use: "once", Short: "Do the main job unattended: analyse, review with two people, release, verify", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := &demoRun{e: e, began: time.Now()}
			ctx, cancel := context.WithTimeout(c.Context(), 15*time.Minute)
			defer cancel()
			return r.run(ctx, wait)
		}}
	c.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for the server and its demo project")
	return c
}

// demoRun is one unattended pass through the public API.
type demoRun struct {
	e       *env
	began   time.Time
	people  map[string]*client // handle → signed-in client
	project projectView
	job     jobView
	request requestView
	release releaseView
	zip     string
}

func (r *demoRun) say(format string, args ...any) {
	fmt.Fprintf(r.e.out, "%6.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *demoRun) run(ctx context.Context, wait time.Duration) error {
	steps := []func(context.Context) error{r.signIn, r.analyse, r.ask, r.review, r.takeOut, r.verify}
	if err := r.await(ctx, wait); err != nil {
		return err
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// await polls until the server answers and its demo project and image are there.
func (r *demoRun) await(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var last error
	for {
		if last = r.ready(ctx); last == nil {
			r.say("the appliance is ready: project %s", r.project.Name)
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.WithNext(fault.Kinded("cli.demo", fault.Unavailable, last, "The demo was not ready after %s: %s", wait, fault.Message(last)),
				"Read the server's log; `tresor doctor` looks at the host.")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r *demoRun) ready(ctx context.Context) error {
	var images page[imageView]
	if err := r.e.client.do(ctx, http.MethodGet, "/images", nil, &images); err != nil {
		return err
	}
	approved := false
	for _, i := range images.Items {
		approved = approved || (i.Source == "builtin" && i.State == "approved")
	}
	if !approved {
		return fault.New("cli.demo", fault.Unavailable, "The built-in image is still being prepared.")
	}
	if err := r.e.client.do(ctx, http.MethodGet, "/projects/"+esc(demo.ProjectSlug), nil, &r.project); err != nil {
		return err
	}
	if len(r.project.Datasets) == 0 {
		return fault.New("cli.demo", fault.Unavailable, "The demo dataset is still being ingested.")
	}
	return nil
}

func (r *demoRun) signIn(ctx context.Context) error {
	links, err := demoSignInLinks(ctx, r.e)
	if err != nil {
		return err
	}
	r.people = map[string]*client{}
	for handle, link := range links {
		c, err := openLink(ctx, r.e, link)
		if err != nil {
			return err
		}
		r.people[handle] = c
	}
	r.say("signed in %d people by one-time links", len(r.people))
	return nil
}

// openLink signs in at the public door with the token of a one-time link.
func openLink(ctx context.Context, e *env, link string) (*client, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, fault.Kinded("cli.demo", fault.Internal, err, "The server issued a link that is not an address.")
	}
	token := u.Fragment
	if token == "" {
		token = u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	}
	h, err := publicHTTP(e.data)
	if err != nil {
		return nil, err
	}
	c := newPublicClient(u.Scheme+"://"+u.Host, h)
	if err := c.do(ctx, http.MethodPost, "/session/link", map[string]string{"token": token}, nil); err != nil {
		return nil, err
	}
	return c, nil
}

func (r *demoRun) analyse(ctx context.Context) error {
	who := r.people[demo.ResearcherHandle]
	body := map[string]any{"name": demo.Safe.Name, "purpose": demo.Safe.Purpose, "sql": []map[string]string{{"output": demo.Safe.Output, "sql": demo.Safe.SQL}}}
	if err := who.do(ctx, http.MethodPost, "/projects/"+esc(r.project.ID)+"/jobs", body, &r.job); err != nil {
		return err
	}
	r.say("submitted the analysis %q over %d real rows", r.job.Name, demo.Rows)
	j, err := waitJob(ctx, who, r.job.ID)
	if err != nil {
		return err
	}
	if j.State != "held" {
		return fault.WithNext(fault.New("cli.demo", fault.Conflict, "The job ended as %s: %s", j.State, j.Reason), "%s", firstOf(j.Next, "See `tresor job show "+j.ID+"`."))
	}
	r.job = j
	r.say("ran in a sandbox without a network; %d output held in the airlock", len(j.Outputs))
	if j.Unlimited {
		r.say("note: limits on memory and processes are not enforced on this host")
	}
	return nil
}

func (r *demoRun) ask(ctx context.Context) error {
	who := r.people[demo.ResearcherHandle]
	body := map[string]any{"title": demo.Safe.Name, "context": demo.Safe.Context, "population": demo.Safe.Population, "controls": demo.Safe.Controls}
	if err := who.do(ctx, http.MethodPost, "/jobs/"+esc(r.job.ID)+"/airlock", body, &r.request); err != nil {
		return err
	}
	if err := who.do(ctx, http.MethodPost, "/airlock/"+esc(r.request.ID)+"/submit", map[string]any{}, &r.request); err != nil {
		return err
	}
	findings := 0
	for _, it := range r.request.Items {
		findings += len(it.Findings)
	}
	r.say("asked to release %d file; the checks found %d points to look at", len(r.request.Items), findings)
	return nil
}

func (r *demoRun) review(ctx context.Context) error {
	for _, p := range demo.People {
		if p.Part != "checker" || r.request.State == "approved" { // a waiver makes one enough
			continue
		}
		if err := r.vote(ctx, r.people[p.Handle]); err != nil {
			return err
		}
		r.say("%s looked at every file and approved (state: %s)", p.Name, r.request.State)
	}
	if r.request.State != "approved" {
		return fault.New("cli.demo", fault.Conflict, "The checkers approved, yet the request is %s.", r.request.State)
	}
	return nil
}

func (r *demoRun) vote(ctx context.Context, who *client) error {
	path := "/airlock/" + esc(r.request.ID)
	for _, it := range r.request.Items {
		if err := who.do(ctx, http.MethodGet, path+"/items/"+esc(it.ID)+"/view", nil, nil); err != nil {
			return err
		}
	}
	vote := map[string]string{"decision": "approve", "comment": "Counts are large and nobody can be singled out."}
	return who.do(ctx, http.MethodPost, path+"/votes", vote, &r.request)
}

func (r *demoRun) takeOut(ctx context.Context) error {
	who := r.people[demo.ResearcherHandle]
	if err := who.do(ctx, http.MethodPost, "/airlock/"+esc(r.request.ID)+"/release", map[string]any{}, &r.release); err != nil {
		return err
	}
	dir := filepath.Join(r.e.data, "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Kinded("cli.demo", fault.Invalid, err, "Cannot make %s: %v.", dir, err)
	}
	r.zip = filepath.Join(dir, "release-"+r.release.ID+".zip")
	if err := download(ctx, r.e, who, r.release, r.zip); err != nil {
		return err
	}
	r.say("released and downloaded %d bytes", r.release.Size)
	return nil
}

// verify does what an outsider would: the zip alone, then the log alone.
func (r *demoRun) verify(ctx context.Context) error {
	if _, err := verifyZip(r.zip, readKey(r.e, "")); err != nil {
		return err
	}
	r.say("verified the release from outside: hashes, manifest, audit proof")
	var own logSource
	report, err := own.verify(ctx, r.e)
	if err != nil {
		return tampered(err)
	}
	fmt.Fprintf(r.e.out, "released: %s\nsha256: %s\naudit: verified %d events, root %s\n", r.zip, r.release.SHA256, report.Events, report.Root)
	return nil
}

package app

import (
	"bytes"
	"context"
	"io"

	"tresor/app/access"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/identity"
	"tresor/app/project"
	"tresor/embed/demo"
)

// seedDemo makes the demonstration's people, project and dataset. Each step
// leaves what is there already, so a second start changes nothing and a start
// that was interrupted is completed by the next.
func (a *App) seedDemo(ctx context.Context) error {
	people := map[string]access.Actor{}
	for _, p := range demo.People {
		actor, err := a.demoPerson(ctx, p)
		if err != nil {
			return err
		}
		people[p.Part] = actor
	}
	pr, err := a.demoProject(ctx, people)
	if err != nil {
		return err
	}
	if err := a.demoDataset(ctx, people["steward"]); err != nil {
		return err
	}
	if len(pr.Datasets) > 0 {
		return nil
	}
	_, err = a.Projects.Grant(ctx, people["steward"], pr.ID, demo.DatasetSlug)
	return err
}

func (a *App) demoPerson(ctx context.Context, p demo.Person) (access.Actor, error) {
	var roles []access.Role
	for _, r := range p.Roles {
		roles = append(roles, access.Role(r))
	}
	who, err := a.Identity.ByHandle(ctx, p.Handle)
	if fault.KindOf(err) == fault.NotFound {
		who, err = a.Identity.CreatePerson(ctx, access.System, identity.Draft{Handle: p.Handle, Name: p.Name, Roles: roles})
	}
	if err != nil {
		return access.Actor{}, err
	}
	return access.Actor{ID: who.ID, Handle: who.Handle, Name: who.Name, Roles: who.Roles, Via: "system"}, nil
}

func (a *App) demoProject(ctx context.Context, people map[string]access.Actor) (project.Project, error) {
	operator, researcher := people["operator"], people["researcher"]
	pr, err := a.Projects.Get(ctx, operator, demo.ProjectSlug)
	if fault.KindOf(err) == fault.NotFound {
		pr, err = a.Projects.Create(ctx, operator, project.Draft{Slug: demo.ProjectSlug, Name: demo.ProjectName, Purpose: demo.ProjectPurpose})
	}
	if err != nil || len(pr.Members) > 0 {
		return pr, err
	}
	return a.Projects.SetMember(ctx, operator, pr.ID, researcher.ID, access.Researcher)
}

func (a *App) demoDataset(ctx context.Context, steward access.Actor) error {
	d, err := a.Datasets.Get(ctx, steward, demo.DatasetSlug)
	if fault.KindOf(err) == fault.NotFound {
		d, err = a.Datasets.Register(ctx, steward, demoDraft())
	}
	if err != nil || d.Latest > 0 {
		return err
	}
	dict, err := dataset.ParseDictionary(demo.Dictionary)
	if err != nil {
		return err
	}
	k, n, err := a.cfg.Part()
	if err != nil {
		return err
	}
	csv := demo.Part(k, n)
	_, err = a.Datasets.Ingest(ctx, steward, d.ID, []dataset.Source{{
		Name: demo.FileName, Size: int64(len(csv)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(csv)), nil },
	}}, dataset.Ingestion{Dictionary: dict})
	return err
}

func demoDraft() dataset.Draft {
	return dataset.Draft{
		Slug: demo.DatasetSlug, Name: demo.DatasetName, Description: demo.DatasetDescription, Controller: demo.DatasetController,
		Licence: demo.DatasetLicence, Source: demo.Provenance,
	}
}

// demoLinks issues a one-time link for each demo person who signs in.
func (a *App) demoLinks(ctx context.Context) (map[string]string, error) {
	links := map[string]string{}
	for _, p := range demo.People {
		if !p.SignsIn {
			continue
		}
		who, err := a.Identity.ByHandle(ctx, p.Handle)
		if err != nil {
			return nil, err
		}
		l, err := a.Identity.IssueLink(ctx, access.System, who.ID, "demo")
		if err != nil {
			return nil, err
		}
		links[p.Handle] = l.URL
	}
	return links, nil
}

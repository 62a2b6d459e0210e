package gateway

import (
	"encoding/json"
	"strings"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/store"
	"tresor/app/tree"
)

// insidePrefix begins the key of a program inside a job; the job's id follows.
const insidePrefix = job.InsideVia

// meetJob is a program inside a running job. It acts as the job's own submitter, in
// the job's own project, with the job's own datasets. Work of a hub gains nothing by
// asking from inside: the principal's decisions and quotas bind it there as well.
func (s *Service) meetJob(tx *store.Tx, who Caller) (*party, error) {
	j, err := s.Jobs.Find(tx, who.ID)
	if fault.KindOf(err) == fault.NotFound || err == nil && !j.State.Active() {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	key := insidePrefix + j.ID
	l, err := s.lentTo(tx, j.Project, j.Submitter.ID, idsOf(dataOf(j)), key)
	if err != nil {
		return nil, err
	}
	if l.standing != nil {
		return nil, l.standing
	}
	p := &party{kind: Inside, key: key, name: programIn(j.Name), via: key, bound: j.Project, lent: []lent{l}}
	root, owner, err := rootOf(tx, key)
	if err != nil {
		return nil, err
	}
	p.counts = []counted{{root, insideQuotas}}
	if owner == "" { // a job that did not come through this door
		return p, nil
	}
	if strings.HasPrefix(owner, personPrefix) {
		p.counts, p.cores = append(p.counts, counted{owner, s.Person}), s.Person.Cores
		return p, nil
	}
	if p.record, err = s.find(tx, owner); err != nil {
		return nil, err
	}
	p.counts, p.cores = append(p.counts, counted{owner, p.record.Quotas}), p.record.Quotas.Cores
	all, err := pausedAll(tx)
	if err != nil {
		return nil, err
	}
	p.record.Paused = p.record.Paused || all
	p.barred, err = s.still(tx, p.record, j.Project, j)
	return p, err
}

// programIn is how people know a program inside: by the name of its job.
func programIn(job string) string { return "a program in “" + line(job, 100) + "”" }

// still says why a principal may send no work like this job to a project any more.
func (s *Service) still(tx *store.Tx, r Principal, project string, j job.Job) (barred, err error) {
	if r.Paused {
		return paused(), nil
	}
	err = lentStill(tx, r.ID, project, j)
	if err != nil && fault.KindOf(err) == fault.Denied {
		return err, nil
	}
	return nil, err
}

const askLead = "Ask the lead of the project."

// lentStill looks whether a principal may send this job: it is active, the project
// is lent to it, the same person answers, and the datasets are lent. Errors: Denied.
func lentStill(tx *store.Tx, principal, project string, j job.Job) error {
	const op = "gateway.Allowed"
	var sponsor, datasets string
	err := tx.QueryRow(`SELECT u.sponsor, u.datasets FROM gateway_use u JOIN gateway_principal p ON p.id = u.principal
		WHERE p.id = ? AND p.state = 'active' AND u.project = ?`, principal, project).Scan(&sponsor, &datasets)
	if store.NotFound(err) {
		return refuse(CodeNoProject, fault.Denied, askLead, "Who sent this job may not send work to this project any more.")
	}
	if err != nil {
		return fault.Wrap(op, err)
	}
	if sponsor != j.Submitter.ID {
		return refuse(CodeNotMember, fault.Denied, "Send it again.", "Another person answers for this work now.")
	}
	var may []string
	if err := json.Unmarshal([]byte(datasets), &may); err != nil {
		return fault.Wrap(op, err)
	}
	for _, d := range dataOf(j) {
		if !has(may, d.ID) && !has(may, anyData) {
			return refuse(CodeNoDataset, fault.Denied, askLead, "Who sent this job may not use the dataset %s any more.", d.Slug)
		}
	}
	return nil
}

// sees tells which files of a project's tree are there for the party: for a machine
// that was not lent all data, and for programs of its jobs, those that its own jobs
// made. Others may be made of data that it was not lent.
func (o *order) sees() func(*store.Tx, tree.File) (bool, error) {
	if !o.p.bounded() {
		return nil
	}
	for _, u := range o.p.record.Projects {
		if u.Project == o.l.project.ID && has(u.Datasets, anyData) {
			return nil
		}
	}
	return func(tx *store.Tx, f tree.File) (bool, error) {
		maker, err := machineOf(tx, f.Job)
		return maker == o.p.record.ID, err
	}
}

// MayReplace keeps a machine's work from taking the place of files that it did not
// make; job.Deps.MayReplace. Errors: Conflict.
func (s *Service) MayReplace(tx *store.Tx, j job.Job, f tree.File) error {
	if j.Via == "" {
		return nil
	}
	machine, err := machineOf(tx, j.ID)
	if err != nil || machine == "" {
		return err
	}
	maker, err := machineOf(tx, f.Job)
	if err == nil && maker != machine {
		return fault.New("gateway.MayReplace", fault.Conflict, "There is a file of somebody else at one of its paths.")
	}
	return err
}

// machineOf is the principal to whose work a job belongs; "": to no machine's.
func machineOf(tx *store.Tx, id string) (string, error) {
	_, owner, err := rootOf(tx, insidePrefix+id)
	if strings.HasPrefix(owner, personPrefix) {
		owner = ""
	}
	return owner, err
}

// personPrefix begins the key of a person, whichever of their tokens they use.
const personPrefix = "person:"

// rootOf climbs from a key to the job at which a chain of programs inside began.
// root is that job's own inside key, "" when the key is no program's; owner is the key
// of the principal or the person to whom the chain, or the key itself, belongs.
func rootOf(tx *store.Tx, key string) (root, owner string, err error) {
	for {
		id, inside := strings.CutPrefix(key, insidePrefix)
		if !inside {
			return root, key, nil
		}
		root = key
		if err := tx.QueryRow(`SELECT principal FROM gateway_task WHERE id = ?`, id).Scan(&key); store.NotFound(err) {
			return root, "", nil // a job that did not come through this door
		} else if err != nil {
			return "", "", fault.Wrap("gateway.rootOf", err)
		}
	}
}

// dataOf are all the datasets that a job sees. A program inside may name these and
// no others, so that work of a hub does not reach through it what it was not lent.
func dataOf(j job.Job) []job.Data {
	list := append([]job.Data{}, j.Datasets...)
	for _, p := range j.Places {
		if p.DatasetID != "" {
			list = append(list, job.Data{ID: p.DatasetID, Slug: p.Dataset, Version: p.Version})
		}
	}
	return list
}

func idsOf(data []job.Data) []string {
	ids := []string{}
	for _, d := range data {
		ids = append(ids, d.ID)
	}
	return ids
}

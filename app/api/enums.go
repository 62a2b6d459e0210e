package api

import (
	"reflect"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/dataset"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/project"
)

// enums lists the words that a type can hold, for the API description. A test
// compares real answers with the description, so a word missing here is found.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[project.State]():        words(project.Active, project.Closed),
	reflect.TypeFor[project.Approval]():     words(project.EveryJob, project.ImageOnly, project.NoneAtAll),
	reflect.TypeFor[access.Role]():          words(access.Operator, access.Steward, access.Checker, access.Auditor, access.Researcher, access.Lead),
	reflect.TypeFor[dataset.State]():        words(dataset.Active, dataset.Retired),
	reflect.TypeFor[dataset.Presentation](): words(dataset.Building, dataset.Ready, dataset.Failed),
	reflect.TypeFor[dataset.Type]():         words(dataset.Integer, dataset.Real, dataset.Boolean, dataset.Date, dataset.Text),
	reflect.TypeFor[image.State]():          words(image.Imported, image.Approved, image.Revoked, image.Missing),
	reflect.TypeFor[image.Source]():         words(image.Builtin, image.Import),
	reflect.TypeFor[airlock.State]():        words(airlock.States...),
	reflect.TypeFor[job.State]():            words(job.States...),
	reflect.TypeFor[output.State]():         words(output.Held, output.Requested, output.Released, output.Erased),
	reflect.TypeFor[output.Kind]():          words(output.Table, output.Text, output.Image, output.Other),
	reflect.TypeFor[CheckState]():           words(CheckOK, CheckWarn, CheckFail),
}

func words[T ~string](all ...T) []string {
	out := make([]string, len(all))
	for i, w := range all {
		out[i] = string(w)
	}
	return out
}

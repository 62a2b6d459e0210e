package crate

// action puts an Action among those that the root mentions.
func (w *writer) action(o object) string {
	id := w.put(o)
	w.mentions = append(w.mentions, id)
	return id
}

// phases writes the Five Safes actions that we have done: sign-off before the
// run, disclosure check after it, and the publishing of check values, which is
// what writing the bag's manifests is (5S-Crate 0.4, Publishing).
func (w *writer) phases(run, main string) {
	if a := w.f.SignOff; a != nil {
		o := w.assess(a, "SignOff", "Sign-off")
		o["object"] = refs([]string{"./", main, w.project()})
		o["instrument"] = ref(w.put(object{
			"@id": "#policy-sign-off", "@type": "CreativeWork", "name": either(a.Policy, "Agreement policy of the institution"),
		}))
		w.action(o)
	}
	if a := w.f.Disclosure; a != nil {
		o := w.assess(a, "DisclosureCheck", "Disclosure check")
		o["object"] = refs([]string{"./", run})
		if a.Policy != "" {
			o["instrument"] = ref(w.put(object{"@id": "#policy-disclosure", "@type": "CreativeWork", "name": a.Policy}))
		}
		w.action(o)
	}
	w.publishing()
}

func (w *writer) publishing() {
	w.put(object{"@id": shp + "GenerateCheckValue", "@type": "DefinedTerm", "name": "Generate check value"})
	w.put(object{"@id": sha512IRI, "@type": "DefinedTerm", "name": "sha-512 algorithm"})
	at := stamp(w.f.Published)
	w.action(object{
		"@id": "#publishing-" + w.f.ID, "@type": "UpdateAction", "additionalType": ref(shp + "GenerateCheckValue"),
		"name": "Generation of the check values of the package", "object": refs([]string{"./"}),
		"instrument": ref(sha512IRI), "agent": ref(w.software()), "actionStatus": string(Completed),
		"startTime": at, "endTime": at,
	})
}

func (w *writer) assess(a *Action, kind, word string) object {
	w.put(object{"@id": shp + kind, "@type": "DefinedTerm", "name": word})
	agents := refs([]string{})
	for _, p := range a.Agents {
		agents = append(agents, ref(w.person(p)))
	}
	if len(agents) == 0 {
		agents = append(agents, ref(w.institution()))
	}
	return object{
		"@id": "#" + kind + "-" + a.ID, "@type": "AssessAction", "additionalType": ref(shp + kind),
		"name": long(a.Name, word), "actionStatus": string(a.Status), "agent": agents,
		"startTime": stamp(a.Start), "endTime": stamp(a.End),
	}
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

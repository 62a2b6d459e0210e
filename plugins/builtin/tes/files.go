package tes

import (
	"fmt"
	"net/url"
	"strings"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// inside is where the project's own files lie: the only file: address there is.
const inside = "file:///project/"

// spelled writes the address of a file of the project out in full: Nextflow names
// files of the folder that it works in by their path alone.
func spelled(address string) string {
	if strings.HasPrefix(address, strings.TrimPrefix(inside, "file://")) {
		return "file://" + address
	}
	return address
}

func inputs(in []model.Input) ([]protocol.Input, error) {
	var out []protocol.Input
	seen := map[string]int{}
	for i, x := range in {
		at := fmt.Sprintf("inputs[%d]", i)
		p := protocol.Input{Path: place(x.Path, x.Type), Directory: x.Type == model.Directory}
		if j, twice := seen[p.Path]; twice {
			return nil, invalid(at+".path", fmt.Sprintf("inputs[%d] has the same path. Give each input a path of its own.", j))
		}
		seen[p.Path] = i
		if x.Content != nil {
			p.HasContent, p.Content = true, []byte(*x.Content)
		} else {
			var err error
			if p.Source, err = source(spelled(x.URL), at+".url", p.Directory); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

const addresses = "Use tresor://dataset/NAME/FILE for a dataset, file:///project/FILE for the project's own files, an https, s3 or drs address that the operator has listed, or content."

// source checks where an input comes from. The host decides whether it may; here
// it is refused what can never be: a path on somebody's computer, an address with
// a password in it, a scheme that nobody here speaks.
func source(address, at string, directory bool) (string, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok && !strings.HasPrefix(address, "/"):
		return "", invalid(at, "This is no address. "+addresses)
	case !ok || scheme == "file":
		return projectFile(address, at, directory)
	case scheme == "tresor":
		return dataset(rest, at)
	case scheme == "https" || scheme == "s3" || scheme == "drs":
		host := rest[:len(rest)-len(strings.TrimLeftFunc(rest, func(c rune) bool { return c != '/' && c != '?' && c != '#' }))]
		if host == "" || strings.Contains(host, "@") {
			return "", invalid(at, "The address names a server after "+scheme+":// and holds no user name or password: people who approve the task would see it. Ask the operator to list the source.")
		}
		return scheme + "://" + rest, nil
	}
	return "", invalid(at, "Addresses of this kind are not read here. "+addresses)
}

func projectFile(address, at string, directory bool) (string, error) {
	rest, ok := strings.CutPrefix(address, inside)
	if !ok {
		return "", invalid(at, "This names a file on some computer; this appliance reads none, neither yours nor its own. "+addresses)
	}
	if what := badTree(rest, directory); what != "" {
		return "", invalid(at, what+"; write for example "+inside+"data/file.csv.")
	}
	return address, nil
}

// badTree says what is wrong with a path in the project's own files. Percent signs
// are ordinary characters there; but what would climb once decoded is refused too.
func badTree(rest string, directory bool) string {
	if directory && rest == "" {
		return ""
	}
	if what := model.BadPath("/"+rest, directory); what != "" {
		return what
	}
	if plain, err := url.PathUnescape(rest); err == nil && plain != rest {
		return model.BadPath("/"+plain, directory)
	}
	return ""
}

func dataset(rest, at string) (string, error) {
	name, ok := strings.CutPrefix(rest, "dataset/")
	if !ok || name == "" || model.BadPath("/"+name, true) != "" {
		return "", invalid(at, "An address of a dataset is tresor://dataset/NAME, tresor://dataset/NAME@VERSION, or one of these and /FILE.")
	}
	return "tresor://" + rest, nil
}

func outputs(out []model.Output) ([]protocol.Output, error) {
	var all []protocol.Output
	for i, x := range out {
		p := protocol.Output{Path: place(x.Path, x.Type), Directory: x.Type == model.Directory, Target: spelled(x.URL)}
		wild := model.Wild(p.Path)
		if wild {
			p.Prefix = x.PathPrefix
		}
		if err := insideTarget(p.Target, fmt.Sprintf("outputs[%d].url", i), wild || p.Directory); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// insideTarget checks an output that asks to stay inside. Every other address is
// only a name for what the airlock holds: nothing is ever sent to it.
func insideTarget(address, at string, many bool) error {
	if address == strings.TrimSuffix(inside, "/") {
		return invalid(at, "The project's own files begin with a slash at the end: "+inside+".")
	}
	rest, ok := strings.CutPrefix(address, inside)
	if !ok {
		return nil
	}
	if what := badTree(rest, many); what != "" {
		return invalid(at, what+"; write for example "+inside+"results/file.csv.")
	}
	return nil
}

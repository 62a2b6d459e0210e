package model

import (
	"slices"
	"strings"
)

func (r *reader) input(v value, path string) Input {
	if !r.object(v, path) {
		return Input{}
	}
	in := Input{
		Name:        r.line(v.get("name"), path+".name", MaxName),
		Description: r.text(v.get("description"), path+".description", MaxText),
		URL:         r.line(v.get("url"), path+".url", MaxPath),
		Type:        r.fileType(v.get("type"), path+".type"),
		Content:     r.content(v.get("content"), path+".content"),
		Streamable:  r.flag(v.get("streamable"), path+".streamable"),
	}
	in.Path = r.path(v.get("path"), path+".path", in.Type == Directory)
	switch {
	case in.Content == nil && in.URL == "":
		r.fail(path, "An input needs url or content.")
	case in.Content != nil && *in.Content == "" && in.URL != "":
		in.Content = nil // only content that is not empty wins over url
	case in.Content != nil && in.Type == Directory:
		r.fail(path+".content", "A folder cannot have content; name its files one by one, or give a url.")
	}
	return in
}

// content may hold any text, NUL included: it becomes a file.
func (r *reader) content(v value, path string) *string {
	switch {
	case v.kind == isNull:
		return nil
	case v.kind != isString:
		r.fail(path, "This is %s; write the file's text in quotes.", v.kind)
	case len(v.text) > MaxContent:
		if r.problem == nil {
			r.problem = &Problem{Path: path, Large: true, Text: "This is larger than 256 KiB. Put the file in a dataset or in the project's own files and give its url."}
		}
	}
	return &v.text
}

func (r *reader) output(v value, path string) Output {
	if !r.object(v, path) {
		return Output{}
	}
	o := Output{
		Name:        r.line(v.get("name"), path+".name", MaxName),
		Description: r.text(v.get("description"), path+".description", MaxText),
		URL:         r.need(v.get("url"), path+".url", MaxPath, `"file:///project/results/out.csv", or any address: it is kept with the output`),
		Type:        r.fileType(v.get("type"), path+".type"),
	}
	o.Path = r.path(v.get("path"), path+".path", o.Type == Directory)
	o.PathPrefix = r.line(either(v, "path_prefix", "pathPrefix"), path+".path_prefix", MaxPath)
	if !Wild(o.Path) {
		return o // the specification: then the prefix is ignored
	}
	switch {
	case o.PathPrefix == "":
		r.fail(path+".path_prefix", "A path with wildcards needs path_prefix: the part that is cut off to make the names under url.")
	case !strings.HasPrefix(o.PathPrefix, "/") || Wild(o.PathPrefix) || !strings.HasPrefix(o.Path, o.PathPrefix):
		r.fail(path+".path_prefix", "path begins with path_prefix, which holds no wildcard; write for example \"/data/out\" for \"/data/out/*.csv\".")
	}
	return o
}

// Wild reports whether an output's path holds wildcards.
func Wild(path string) bool { return strings.ContainsAny(path, "*?[") }

func (r *reader) fileType(v value, path string) FileType {
	switch t := FileType(r.line(v, path, MaxName)); t {
	case "":
		return File
	case File, Directory:
		return t
	default:
		r.fail(path, "There is no type %s; write FILE or DIRECTORY.", Quote(string(t)))
		return File
	}
}

func (r *reader) executor(v value, path string) Executor {
	if !r.object(v, path) {
		return Executor{}
	}
	e := Executor{
		Image:       r.need(v.get("image"), path+".image", MaxName, `"debian:12"`),
		Command:     list(r, v.get("command"), path+".command", MaxArguments, r.argument),
		Workdir:     r.optional(v.get("workdir"), path+".workdir", true),
		Stdin:       r.optional(v.get("stdin"), path+".stdin", false),
		Stdout:      r.optional(v.get("stdout"), path+".stdout", false),
		Stderr:      r.optional(v.get("stderr"), path+".stderr", false),
		Env:         r.strings(v.get("env"), path+".env", MaxEnv, MaxVariable),
		IgnoreError: r.flag(either(v, "ignore_error", "ignoreError"), path+".ignore_error"),
	}
	if len(e.Command) == 0 || e.Command[0] == "" {
		r.fail(path+".command", "This is required and begins with the program; write for example [\"/bin/md5sum\", \"/data/file\"].")
	}
	for k := range e.Env {
		if strings.Contains(k, "=") {
			r.fail(member(path+".env", k), "The name of a variable holds no equals sign.")
		}
	}
	return e
}

func (r *reader) argument(v value, path string) string {
	if v.kind != isString {
		r.fail(path, "This is %s; write it as text in quotes.", v.kind)
	}
	return r.text(v, path, MaxArgument)
}

func (r *reader) volume(v value, path string) string { return r.path(v, path, true) }

func (r *reader) optional(v value, path string, folder bool) string {
	switch {
	case v.kind == isNull || v.kind == isString && v.text == "":
		return ""
	case v.kind == isString && v.text == "/" && folder:
		return "/" // a folder to work in that every image has
	}
	return r.path(v, path, folder)
}

// path reads an absolute, clean path. A folder's may end with a slash.
func (r *reader) path(v value, path string, folder bool) string {
	s := r.need(v, path, MaxPath, `"/data/file.csv"`)
	if r.problem != nil {
		return ""
	}
	if what := BadPath(s, folder); what != "" {
		r.fail(path, "%s; write an absolute path such as \"/data/file.csv\".", what)
	}
	return s
}

// BadPath says what is wrong with a path in the container; "" when nothing is.
func BadPath(s string, folder bool) string {
	clean := s
	if folder && len(s) > 1 {
		clean = strings.TrimSuffix(s, "/")
	}
	switch {
	case !strings.HasPrefix(s, "/"):
		return "The path does not begin with a slash"
	case s == "/":
		return "The path is the root folder"
	case strings.HasSuffix(clean, "/"):
		return "The path ends with a slash"
	case strings.IndexFunc(s, control) >= 0:
		return "The path holds a control character"
	}
	for part := range strings.SplitSeq(clean[1:], "/") {
		switch {
		case part == "" || part == ".":
			return "The path is not clean: it has an empty part or a single dot"
		case part == "..":
			return "The path climbs with two dots"
		case len(part) > 255:
			return "A part of the path has more than 255 bytes"
		}
	}
	return ""
}

func (r *reader) resources(v value) *Resources {
	const path = "resources"
	if v.kind == isNull || !r.object(v, path) {
		return nil
	}
	res := Resources{
		CPUCores:                r.whole(either(v, "cpu_cores", "cpuCores"), path+".cpu_cores", MaxCores),
		Preemptible:             r.flag(v.get("preemptible"), path+".preemptible"),
		RAMGB:                   r.amount(either(v, "ram_gb", "ramGb"), path+".ram_gb", MaxGB),
		DiskGB:                  r.amount(either(v, "disk_gb", "diskGb"), path+".disk_gb", MaxGB),
		Zones:                   list(r, v.get("zones"), path+".zones", MaxZones, r.zone),
		BackendParameters:       r.strings(either(v, "backend_parameters", "backendParameters"), path+".backend_parameters", MaxParameters, MaxText),
		BackendParametersStrict: r.flag(either(v, "backend_parameters_strict", "backendParametersStrict"), path+".backend_parameters_strict"),
	}
	return &res
}

func (r *reader) zone(v value, path string) string { return r.need(v, path, MaxName, `"eu-1"`) }

// either gives the member under the schema's key, or under the one that programs
// write which make their JSON from Protocol Buffers (the Funnel command line does).
func either(v value, key, proto string) value {
	if slices.Contains(v.keys, key) {
		return v.get(key)
	}
	return v.get(proto)
}

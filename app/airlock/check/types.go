package check

// refusal says why a type of file never leaves and what to do instead.
type refusal struct{ what, why, next string }

var (
	archive  = refusal{"an archive", "hides files that nobody has looked at", "Send the files inside it, each under its own name."}
	office   = refusal{"an office document", "can hold hidden sheets, old versions and pictures", "Save each sheet as csv, and text as md or txt."}
	notebook = refusal{"a notebook", "mixes code with outputs that hold data", "Export the code as txt and each table as csv."}
	object   = refusal{"a program's memory image", "can hold the whole data set and run code when it is opened", "Write the coefficients or the table as csv or json."}
	database = refusal{"a database or a binary table", "cannot be read by a person line by line", "Export the table that you need as csv."}
	program  = refusal{"a program", "could run on the reader's machine", "Send code as txt or md if it must leave."}
	drawing  = refusal{"a page or a drawing", "carries the data behind each point, scripts or hidden text", "Export the figure as png and its numbers as csv."}
	media    = refusal{"sound or film", "cannot be checked", "Leave it out."}
	unknown  = refusal{"of a type that no check knows", "could hold anything", "Export the result as csv, tsv, json, txt, md, png or jpg."}
)

var allowed = map[string]bool{"csv": true, "tsv": true, "json": true, "txt": true, "md": true, "png": true, "jpg": true, "jpeg": true}

var refused = func() map[string]refusal {
	m := map[string]refusal{}
	for r, exts := range map[*refusal][]string{
		&archive:  {"zip", "gz", "tgz", "tar", "bz2", "xz", "zst", "7z", "rar", "lz4", "jar", "iso"},
		&office:   {"doc", "docx", "xls", "xlsx", "xlsm", "xlsb", "ppt", "pptx", "odt", "ods", "odp", "rtf"},
		&notebook: {"ipynb", "rmd", "qmd"},
		&object:   {"pkl", "pickle", "joblib", "rds", "rdata", "rda", "mat", "npy", "npz", "pt", "pth", "h5", "hdf5", "onnx", "pmml", "safetensors"},
		&database: {"sqlite", "sqlite3", "db", "parquet", "feather", "arrow", "dta", "sav", "sas7bdat", "xpt", "mdb", "duckdb", "gph"},
		&program:  {"exe", "dll", "so", "dylib", "bin", "sh", "bat", "cmd", "ps1", "com", "msi", "wasm", "class", "pyc", "py", "r", "do", "sql", "js"},
		&drawing:  {"svg", "pdf", "html", "htm", "xml", "xhtml", "eps", "ps", "gif", "tif", "tiff", "bmp", "webp", "emf", "wmf"},
		&media:    {"mp3", "mp4", "wav", "avi", "mov", "mkv", "webm", "ogg", "flac"},
	} {
		for _, e := range exts {
			m[e] = *r
		}
	}
	return m
}()

func (c *collector) typeAllowed(name string) bool {
	e := ext(name)
	if allowed[e] {
		return true
	}
	r, ok := refused[e]
	if !ok {
		r = unknown
	}
	c.add("I3", -1, -1, "", "The file is %s, which %s.", r.what, r.why)
	c.next("%s", r.next)
	return false
}

func (c *collector) sizeAllowed(p Profile, name string, size int64) bool {
	limit := p.MaxFile
	rule := "I2"
	if e := ext(name); (e == "txt" || e == "md") && p.MaxText < limit {
		limit, rule = p.MaxText, "X1"
	}
	switch {
	case size <= 0:
		c.add("I2", -1, -1, "size", "The file is empty.")
		c.next("Leave it out of the request.")
	case size > limit:
		c.add(rule, -1, -1, "size", "The file is %d bytes; at most %d are allowed for this type.", size, limit)
	default:
		return true
	}
	return false
}

package release

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/crate"
	"tresor/app/fault"
)

// Report is what Verify found in a sound release.
type Report struct {
	Release  string    `json:"release"`
	Request  string    `json:"request"`
	Title    string    `json:"title"`
	Approved time.Time `json:"approved"`
	Files    []File    `json:"files"`
	SHA256   string    `json:"sha256"` // of the zip
	Seq      int64     `json:"seq"`    // of the approval in the audit log
	LogSize  int64     `json:"log_size"`
	LogRoot  string    `json:"log_root"` // base64
	Signed   bool      `json:"signed"`   // the log's signature was checked with a key
}

// Verify checks a release zip of size bytes without the appliance that made it:
// every file against the manifest, the manifest against what the reviewers
// voted on, that vote against the audit log's signed state, and that the zip
// holds nothing else. With an empty key the signature is left aside and Signed
// is false. The zip may come from anybody; nothing is unpacked. Errors: Invalid
// with the first thing wrong, Exhausted for a zip larger than any release.
func Verify(r io.ReaderAt, size int64, key string) (Report, error) {
	bag, err := crate.Verify(r, size)
	if err != nil {
		return Report{}, fault.Wrap("release.Verify", err)
	}
	v := &verifier{r: r, size: size, bag: bag, key: key}
	for _, step := range []func() error{v.read, v.files, v.reviewed, v.proof, v.described, v.nothingElse, v.sum} {
		if err := step(); err != nil {
			return Report{}, err
		}
	}
	return v.out, nil
}

type verifier struct {
	r    io.ReaderAt
	size int64
	zip  *zip.Reader
	bag  crate.Report
	key  string
	m    Manifest
	p    audit.InclusionProof
	out  Report
}

func wrong(format string, args ...any) error {
	return fault.New("release.Verify", fault.Invalid, format, args...)
}

const maxRecord = 32 << 20 // bytes of the manifest

// read loads the manifest and the proof. Both must be written exactly as a
// release writes them, so that they hold nothing besides what they say.
func (v *verifier) read() error {
	var err error
	if v.zip, err = zip.NewReader(v.r, v.size); err != nil {
		return wrong("This is not a complete zip file.")
	}
	if err := v.load(manifestName, &v.m); err != nil {
		return err
	}
	if v.m.Format != format {
		return wrong("The manifest is of another format (%.40q). Use the program that made the release.", v.m.Format)
	}
	v.out = Report{Release: v.m.Release, Request: v.m.Request.ID, Title: v.m.Request.Title, Approved: v.m.Approval.At, Seq: v.m.Approval.Seq, Files: []File{}}
	return v.load(proofName, &v.p)
}

func (v *verifier) load(name string, into any) error {
	f, err := v.zip.Open(v.bag.Folder + "/data/" + name)
	if err != nil {
		return wrong("The release lacks %s.", name)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return wrong("%s in the release is damaged.", name)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if d.Decode(into) != nil || !bytes.Equal(encode(into), raw) {
		return wrong("%s is not written as a release writes it.", name)
	}
	return nil
}

// files compares what is in the zip with the manifest, both ways.
func (v *verifier) files() error {
	rest := map[string]crate.Sum{}
	for p, s := range v.bag.Files {
		rest[p] = s
	}
	for _, own := range []string{manifestName, proofName, crate.MetadataName} {
		delete(rest, own)
	}
	for _, f := range v.m.Files {
		got, ok := rest[f.Path]
		if !ok || !strings.HasPrefix(f.Path, outputs) {
			return wrong("The manifest lists %q, which is not in the release.", f.Path)
		}
		if got.SHA256 != f.SHA256 || got.Size != f.Size {
			return wrong("The file %q is not the one that was released: its hash differs.", f.Path)
		}
		delete(rest, f.Path)
		v.out.Files = append(v.out.Files, File{strings.TrimPrefix(f.Path, outputs), f.SHA256, f.Size})
	}
	for p := range rest {
		return wrong("The release holds %q, which its manifest does not list.", p)
	}
	return nil
}

// reviewed compares the files with the manifest that the votes name.
func (v *verifier) reviewed() error {
	a := v.m.Approval
	var compact bytes.Buffer
	if json.Compact(&compact, a.Reviewed) != nil {
		return wrong("The reviewed manifest is not JSON.")
	}
	seen, err := airlock.Reviewed(compact.Bytes(), v.m.Checks.ManifestSHA256)
	if err != nil {
		return wrong("The reviewed manifest does not have the hash that the reviewers voted on.")
	}
	if len(seen) != len(v.m.Files) {
		return wrong("The reviewers saw %d files and the release holds %d.", len(seen), len(v.m.Files))
	}
	for _, f := range v.m.Files {
		if seen[strings.TrimPrefix(f.Path, outputs)] != f.SHA256 {
			return wrong("The file %q is not the one that the reviewers saw.", f.Path)
		}
	}
	approvals := map[string]bool{}
	for _, r := range a.Reviewers {
		approvals[r.Handle] = r.Decision == airlock.Approve
		if r.Decision != airlock.Approve {
			return wrong("A reviewer did not approve.")
		}
	}
	if len(approvals) < a.Needed || a.Needed < 1 {
		return wrong("The release has %d approvals and needs %d.", len(approvals), a.Needed)
	}
	return nil
}

// proof checks that the log says what the manifest says.
func (v *verifier) proof() error {
	e, c, signed, err := v.p.Verify(v.key)
	if err != nil {
		return fault.Kinded("release.Verify", fault.Invalid, err, "The audit proof does not hold: %v.", err)
	}
	votes := make([]string, len(v.m.Approval.Reviewers))
	for i, r := range v.m.Approval.Reviewers {
		votes[i] = r.Handle + ":" + r.Decision
	}
	for _, is := range []struct {
		what, got, want string
	}{
		{"event", e.Verb, "airlock.approved"},
		{"request", e.Subject, airlock.Subject(v.m.Request.ID)},
		{"project", e.Project, v.m.Project.ID},
		{"number", fmt.Sprint(e.Seq), fmt.Sprint(v.m.Approval.Seq)},
		{"time", e.At.UTC().Format(time.RFC3339Nano), v.m.Approval.At.UTC().Format(time.RFC3339Nano)},
		{"manifest", e.Detail["manifest"], v.m.Checks.ManifestSHA256},
		{"rules", e.Detail["rules"], v.m.Checks.RulesSHA256},
		{"findings", e.Detail["findings"], v.m.Checks.FindingsSHA256},
		{"votes", e.Detail["votes"], strings.Join(votes, " ")},
		{"number of reviewers", e.Detail["needed"], fmt.Sprint(v.m.Approval.Needed)},
	} {
		if is.got != is.want {
			return wrong("The audit log says something else than the manifest: the %s differs.", is.what)
		}
	}
	v.out.LogSize, v.out.LogRoot, v.out.Signed = c.Size, c.RootText(), signed
	return nil
}

// described renders the crate's metadata again: it holds the manifest's facts
// and nothing else.
func (v *verifier) described() error {
	want, err := metadata(v.m)
	if err != nil || !bytes.Equal(want, v.bag.Metadata) {
		return wrong("%s says something else than the manifest.", crate.MetadataName)
	}
	if v.bag.Folder != "release-"+v.m.Release || v.bag.ExternalID != "urn:uuid:"+v.m.Release {
		return wrong("The package is of another release than its manifest.")
	}
	return nil
}

// nothingElse accounts for every byte of the zip: entry after entry without a
// gap, then the directory, then its end. Bytes in between would be a way out
// that nobody reviewed.
func (v *verifier) nothingElse() error {
	const local, descriptor, central, end = 30, 16, 46, 22
	var at, directory int64
	for _, f := range v.zip.File {
		data, err := f.DataOffset()
		if err != nil {
			return wrong("The zip entry %q is damaged.", f.Name)
		}
		if f.Method != zip.Store || f.Comment != "" || data != at+local+int64(len(f.Name)+len(f.Extra)) {
			return wrong("The zip holds bytes before %q that belong to no file.", f.Name)
		}
		at = data + int64(f.CompressedSize64) + descriptor
		directory += central + int64(len(f.Name)+len(f.Extra))
	}
	if v.zip.Comment != "" || at+directory+end != v.size {
		return wrong("The zip holds bytes that belong to no file.")
	}
	return nil
}

func (v *verifier) sum() error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(v.r, 0, v.size)); err != nil {
		return fault.Kinded("release.Verify", fault.Unavailable, err, "The release could not be read.")
	}
	v.out.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}

package crate

import (
	"archive/zip"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"strings"

	"tresor/app/fault"
)

// Report is what Verify found in a sound bag.
type Report struct {
	Folder     string            `json:"folder"`
	ExternalID string            `json:"external_id"`
	Info       map[string]string `json:"info"`
	Files      map[string]Sum    `json:"files"` // payload path -> its checked hashes
	Bytes      int64             `json:"bytes"` // of the payload
	Metadata   []byte            `json:"-"`     // ro-crate-metadata.json, checked by Check
}

// Sum is the size and the hashes of a payload file, in lower-case hex.
type Sum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	SHA512 string `json:"sha512"`
}

// Verify reads a whole zipped bag of size bytes and checks every promise in it:
// names, structure, every hash, the metadata document's required properties,
// and that the files it describes are there with the hash and size it states.
// The zip may come from anybody. Errors: Invalid with the first thing wrong,
// Exhausted when it is larger than DefaultLimits.
func Verify(r io.ReaderAt, size int64) (Report, error) { return VerifyWithin(r, size, DefaultLimits) }

// VerifyWithin is Verify with the caller's own limits.
func VerifyWithin(r io.ReaderAt, size int64, lim Limits) (Report, error) {
	folder, files, err := openBag(r, size, lim)
	if err != nil {
		return Report{}, err
	}
	v := &verifier{files: files, lim: lim, out: Report{Folder: folder, Files: map[string]Sum{}}}
	for _, step := range []func() error{v.declaration, v.manifests, v.tags, v.information, v.document} {
		if err := step(); err != nil {
			return Report{}, err
		}
	}
	return v.out, nil
}

type verifier struct {
	files map[string]*zip.File
	lim   Limits
	out   Report
}

func invalid(format string, args ...any) error {
	return fault.New("crate.Verify", fault.Invalid, format, args...)
}

// text reads a small file of the bag whole.
func (v *verifier) text(name string) (string, error) {
	f, ok := v.files[name]
	if !ok {
		return "", invalid("The package lacks %s.", name)
	}
	if f.UncompressedSize64 > uint64(v.lim.Text) {
		return "", fault.New("crate.Verify", fault.Exhausted, "%s in the package is larger than %d bytes.", name, v.lim.Text)
	}
	var b strings.Builder
	_, err := unpack(f, &b)
	return b.String(), err
}

// unpack copies an entry; the zip reader itself holds it to its stated size and
// check sum.
func unpack(f *zip.File, w io.Writer) (int64, error) {
	r, err := f.Open()
	if err != nil {
		return 0, fault.Kinded("crate.Verify", fault.Invalid, err, "The zip entry %q is damaged.", f.Name)
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err != nil {
		return n, fault.Kinded("crate.Verify", fault.Invalid, err, "The zip entry %q is damaged.", f.Name)
	}
	return n, nil
}

func (v *verifier) sum(name string) (Sum, error) {
	h2, h5 := sha256.New(), sha512.New()
	n, err := unpack(v.files[name], io.MultiWriter(h2, h5))
	return Sum{Size: n, SHA256: digest(h2), SHA512: digest(h5)}, err
}

func (v *verifier) declaration() error {
	text, err := v.text(bagitName)
	if err != nil {
		return err
	}
	if strings.Join(lines(text), "\n")+"\n" != bagitText {
		return invalid("%s does not declare a BagIt 1.0 bag in UTF-8.", bagitName)
	}
	for name := range v.files {
		foreign := strings.Contains(name, "manifest-") && !strings.Contains(name, "/") && name != manifestName && name != tagsName
		if foreign || name == "fetch.txt" {
			return invalid("The package holds %s, which is not supported: use SHA-512 manifests and carry every file.", name)
		}
	}
	return nil
}

// manifests compares every payload file with the manifest, both ways.
func (v *verifier) manifests() error {
	listed, err := v.manifest(manifestName)
	if err != nil {
		return err
	}
	for name := range v.files {
		if _, ok := listed[name]; strings.HasPrefix(name, payload) && !ok {
			return invalid("The file %q is not listed in %s.", name, manifestName)
		}
	}
	for name, want := range listed {
		if !strings.HasPrefix(name, payload) {
			return invalid("%s lists %q, which is not in %s.", manifestName, name, payload)
		}
		got, err := v.match(manifestName, name, want)
		if err != nil {
			return err
		}
		v.out.Files[strings.TrimPrefix(name, payload)] = got
		v.out.Bytes += got.Size
	}
	return nil
}

func (v *verifier) manifest(name string) (map[string]string, error) {
	text, err := v.text(name)
	if err != nil {
		return nil, err
	}
	return parseManifest(name, text)
}

func (v *verifier) match(manifest, name, want string) (Sum, error) {
	if _, ok := v.files[name]; !ok {
		return Sum{}, invalid("%s lists %q, which is not in the package.", manifest, name)
	}
	got, err := v.sum(name)
	if err == nil && got.SHA512 != want {
		err = invalid("The file %q has been changed: its SHA-512 is not the one in %s.", name, manifest)
	}
	return got, err
}

// tags checks the files that describe the bag. The tag manifest is optional in
// BagIt; where it is missing, nothing but the zip's own check sums guards them.
func (v *verifier) tags() error {
	if _, ok := v.files[tagsName]; !ok {
		return nil
	}
	listed, err := v.manifest(tagsName)
	if err != nil {
		return err
	}
	for name, want := range listed {
		if _, err := v.match(tagsName, name, want); err != nil {
			return err
		}
	}
	for name := range v.files {
		if _, ok := listed[name]; !ok && !strings.HasPrefix(name, payload) && name != tagsName {
			return invalid("The file %q is not listed in %s.", name, tagsName)
		}
	}
	return nil
}

func (v *verifier) information() error {
	text, err := v.text(infoName)
	if err != nil {
		return err
	}
	if v.out.Info, err = parseInfo(text); err != nil {
		return err
	}
	v.out.ExternalID = v.out.Info["External-Identifier"]
	if v.out.ExternalID == "" {
		return invalid("%s lacks External-Identifier.", infoName)
	}
	oxum := fmt.Sprintf("%d.%d", v.out.Bytes, len(v.out.Files))
	if got, ok := v.out.Info["Payload-Oxum"]; ok && got != oxum {
		return invalid("%s says Payload-Oxum %s, but the package holds %s.", infoName, got, oxum)
	}
	return nil
}

// document checks the metadata and that what it describes is what is there.
func (v *verifier) document() error {
	text, err := v.text(payload + MetadataName)
	if err != nil {
		return err
	}
	c, err := Parse([]byte(text))
	if err != nil {
		return err
	}
	if problems := c.Check(); len(problems) > 0 {
		return invalid("%s does not follow Five Safes RO-Crate 0.4: %s", MetadataName, problems[0])
	}
	v.out.Metadata = []byte(text)
	for path, claim := range c.files() {
		got, ok := v.out.Files[path]
		if !ok {
			return invalid("%s describes %q, which is not in the package.", MetadataName, path)
		}
		if claim.sha256 != "" && claim.sha256 != got.SHA256 || claim.size != "" && claim.size != fmt.Sprint(got.Size) {
			return invalid("%s states another hash or size of %q than the file has.", MetadataName, path)
		}
	}
	return nil
}

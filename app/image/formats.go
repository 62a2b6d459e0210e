package image

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
)

// candidate is an image of an archive before its layers were looked at.
type candidate struct {
	ref    string
	config string   // member
	layers []string // members, lowest first
	named  bool     // members are named by their hash, and must have it
	sizes  []int64  // of the layers, when the manifest says them
}

// docker reads the manifest of a docker archive.
func (a *archive) docker() (candidate, error) {
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if _, err := a.json("manifest.json", &list); err != nil {
		return candidate{}, err
	}
	if len(list) != 1 {
		return candidate{}, bad("The archive holds %d images. Save one image into one archive.", len(list))
	}
	c := candidate{config: list[0].Config, layers: list[0].Layers}
	if len(list[0].RepoTags) > 0 {
		c.ref = list[0].RepoTags[0]
	}
	return c, nil
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    *struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	} `json:"platform"`
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// blob is the member of a digest.
func (d descriptor) blob() (string, error) {
	if !digestForm.MatchString(d.Digest) {
		return "", bad("The archive names a part by something that is not a SHA-256 digest. Save the image again.")
	}
	return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:"), nil
}

// oci follows the index of an OCI archive to the one manifest for this host.
func (a *archive) oci(arch string) (candidate, error) {
	d, ref, err := a.manifestFor("index.json", arch, 0)
	if err != nil {
		return candidate{}, err
	}
	var m struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if err := a.named(d, &m); err != nil {
		return candidate{}, err
	}
	c := candidate{ref: ref, named: true}
	if c.config, err = m.Config.blob(); err != nil {
		return c, err
	}
	for _, l := range m.Layers {
		name, err := l.blob()
		if err != nil {
			return c, err
		}
		c.layers, c.sizes = append(c.layers, name), append(c.sizes, l.Size)
	}
	return c, nil
}

// named reads a JSON blob and checks that it has the hash it is named by.
func (a *archive) named(d descriptor, into any) error {
	name, err := d.blob()
	if err != nil {
		return err
	}
	b, err := a.json(name, into)
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(b)); got != d.Digest {
		return changed(name)
	}
	return nil
}

func changed(name string) error {
	return bad("%q in the archive does not have the hash that it is named by: the archive is damaged or was changed. Save the image again.", name)
}

// manifestFor picks the manifest for this host; an index may stand in an index.
func (a *archive) manifestFor(member, arch string, depth int) (descriptor, string, error) {
	var ix struct {
		Manifests []descriptor `json:"manifests"`
	}
	if _, err := a.json(member, &ix); err != nil {
		return descriptor{}, "", err
	}
	fit := forHost(ix.Manifests, arch)
	if len(fit) != 1 {
		return descriptor{}, "", bad("The archive holds %d images for %s. Save exactly one image for this architecture.", len(fit), arch)
	}
	d := fit[0]
	ref := d.Annotations["org.opencontainers.image.ref.name"]
	if !strings.Contains(d.MediaType, "image.index") && !strings.Contains(d.MediaType, "manifest.list") {
		return d, ref, nil
	}
	name, err := d.blob()
	if err == nil && depth > 2 {
		err = bad("The archive nests its indexes too deeply. Save one image for this architecture.")
	}
	if err != nil {
		return d, "", err
	}
	inner, innerRef, err := a.manifestFor(name, arch, depth+1)
	if ref == "" {
		ref = innerRef
	}
	return inner, ref, err
}

// forHost drops manifests for other platforms. Attestations are for "unknown".
func forHost(list []descriptor, arch string) []descriptor {
	var fit []descriptor
	for _, d := range list {
		if d.Platform == nil || d.Platform.Architecture == "" || d.Platform.Architecture == arch && d.Platform.OS == "linux" {
			fit = append(fit, d)
		}
	}
	return fit
}

// Package crate speaks Five Safes RO-Crate 0.4: it builds and checks the
// metadata document (ro-crate-metadata.json), and writes and verifies the BagIt
// bag in a zip that carries it. It is pure: no database, no clock, no network,
// no file of its own; the same facts give the same bytes. What it reads is
// hostile until proven otherwise, and it never unpacks anything to a disk.
package crate

// IRIs of the profiles and vocabularies that a document names.
const (
	profile    = "https://w3id.org/5s-crate/0.4"
	rocrate    = "https://w3id.org/ro/crate/1.2"
	contextIRI = "https://w3id.org/ro/crate/1.2/context"
	workflow   = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
	shp        = "https://w3id.org/shp#"
	sha512IRI  = "https://www.iana.org/assignments/named-information#sha-512"
)

// MetadataName is the metadata document's path inside the bag's payload.
const MetadataName = "ro-crate-metadata.json"

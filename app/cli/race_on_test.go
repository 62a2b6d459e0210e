//go:build race

package cli

// underRace: a process with the race detector takes half a second to start, and
// the scripts start two hundred. They drive the static program then; what runs
// beside something else in this package has tests of its own.
const underRace = true

//go:build race

package hub

// underRace says that the race detector runs, which multiplies memory.
const underRace = true

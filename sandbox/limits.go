package sandbox

import "time"

// The limits of a Spec that names none.
const (
	DefaultMemory      = 2 << 30
	DefaultCores       = 1.0
	DefaultPids        = 512
	DefaultFileSize    = 10 << 30
	DefaultLogSize     = 16 << 20
	DefaultWall        = 24 * time.Hour
	DefaultOutputFiles = 1000
	DefaultOutputBytes = 1 << 30
)

// The most that a Spec may ask for where a number, not the host, is the bound.
const (
	MaxLogSize     = 1 << 30
	MaxOutputFiles = 100_000
	MaxRefusals    = 200 // how many refusals a Collected names
	MinMemory      = 16 << 20
)

// WithDefaults fills every limit that is zero.
func (l Limits) WithDefaults() Limits {
	fill(&l.Memory, DefaultMemory)
	fill(&l.Cores, DefaultCores)
	fill(&l.Pids, DefaultPids)
	fill(&l.FileSize, DefaultFileSize)
	fill(&l.LogSize, DefaultLogSize)
	fill(&l.Wall, DefaultWall)
	fill(&l.OutputFiles, DefaultOutputFiles)
	fill(&l.OutputBytes, DefaultOutputBytes)
	return l
}

func fill[T int | int64 | float64 | time.Duration](v *T, fallback T) {
	if *v == 0 {
		*v = fallback
	}
}

func (l Limits) validate() error {
	switch {
	case l.Memory < MinMemory:
		return Invalid("memory limit of %d bytes is under %d MiB", l.Memory, MinMemory>>20)
	case !(l.Cores > 0 && l.Cores <= 4096): // written so that NaN is refused too
		return Invalid("core limit %v is not between 0 and 4096", l.Cores)
	case l.Pids < 4:
		return Invalid("process limit %d is under 4: the agent itself needs threads", l.Pids)
	case l.FileSize < 1 || l.OutputBytes < 1:
		return Invalid("file size and output size limits must be positive")
	case l.LogSize < 1 || l.LogSize > MaxLogSize:
		return Invalid("log limit of %d bytes is not between 1 byte and %d MiB", l.LogSize, MaxLogSize>>20)
	case l.Wall < time.Second:
		return Invalid("wall time limit %v is under one second", l.Wall)
	case l.OutputFiles < 1 || l.OutputFiles > MaxOutputFiles:
		return Invalid("output limit of %d files is not between 1 and %d", l.OutputFiles, MaxOutputFiles)
	}
	return nil
}

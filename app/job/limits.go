package job

import (
	"fmt"
	"time"

	"tresor/app/fault"
	"tresor/sandbox"
)

// Limits bind each task of a job. Zero means the default.
type Limits struct {
	Memory      int64   `json:"memory"`       // bytes
	Cores       float64 `json:"cores"`        // processors
	Pids        int64   `json:"pids"`         // processes and threads
	WallSeconds int64   `json:"wall_seconds"` // per task
	FileSize    int64   `json:"file_size"`    // bytes of the largest file
	LogSize     int64   `json:"log_size"`     // bytes of log kept per task
	OutputFiles int     `json:"output_files"`
	OutputBytes int64   `json:"output_bytes"` // all outputs together
}

// Budget is what all running jobs together may use; zero means no bound.
type Budget struct {
	Cores  float64
	Memory int64 // bytes
}

// Of converts the limits of a sandbox, for whoever has those in hand.
func Of(l sandbox.Limits) Limits {
	return Limits{Memory: l.Memory, Cores: l.Cores, Pids: l.Pids, WallSeconds: int64(l.Wall / time.Second), FileSize: l.FileSize,
		LogSize: l.LogSize, OutputFiles: l.OutputFiles, OutputBytes: l.OutputBytes}
}

func (l Limits) sandbox() sandbox.Limits {
	return sandbox.Limits{Memory: l.Memory, Cores: l.Cores, Pids: l.Pids, Wall: l.wall(), FileSize: l.FileSize,
		LogSize: l.LogSize, OutputFiles: l.OutputFiles, OutputBytes: l.OutputBytes}
}

func (l Limits) wall() time.Duration { return time.Duration(l.WallSeconds) * time.Second }

// complete fills what is zero with the sandbox's defaults.
func (l Limits) complete() Limits { return Of(l.sandbox().WithDefaults()) }

// over fills what is zero with d.
func (l Limits) over(d Limits) Limits {
	orElse(&l.Memory, d.Memory)
	orElse(&l.Cores, d.Cores)
	orElse(&l.Pids, d.Pids)
	orElse(&l.WallSeconds, d.WallSeconds)
	orElse(&l.FileSize, d.FileSize)
	orElse(&l.LogSize, d.LogSize)
	orElse(&l.OutputFiles, d.OutputFiles)
	orElse(&l.OutputBytes, d.OutputBytes)
	return l
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

// bound is one limit with its words.
type bound struct {
	what         string
	asked, least float64
	most         float64 // 0: none
	show         func(float64) string
}

func plain(unit string) func(float64) string {
	return func(v float64) string { return fmt.Sprintf("%g %s", v, unit) }
}

func bytesText(v float64) string { return sizeText(int64(v)) }

func secondsText(v float64) string { return wallText(time.Duration(v) * time.Second) }

// check refuses limits that are too small to work or larger than allowed.
func (l Limits) check(most Limits, b Budget) error {
	for _, x := range []bound{
		{what: "memory", asked: float64(l.Memory), least: sandbox.MinMemory, most: tighter(float64(most.Memory), float64(b.Memory)), show: bytesText},
		{what: "number of cores", asked: l.Cores, least: 0.01, most: tighter(most.Cores, b.Cores), show: plain("cores")},
		{what: "number of processes", asked: float64(l.Pids), least: 4, most: float64(most.Pids), show: plain("processes")},
		{what: "running time", asked: float64(l.WallSeconds), least: 1, most: float64(most.WallSeconds), show: secondsText},
		{what: "file size", asked: float64(l.FileSize), least: 1, most: float64(most.FileSize), show: bytesText},
		{what: "log size", asked: float64(l.LogSize), least: 1, most: tighter(float64(most.LogSize), sandbox.MaxLogSize), show: bytesText},
		{what: "number of outputs", asked: float64(l.OutputFiles), least: 1, most: tighter(float64(most.OutputFiles), sandbox.MaxOutputFiles), show: plain("files")},
		{what: "size of all outputs", asked: float64(l.OutputBytes), least: 1, most: float64(most.OutputBytes), show: bytesText},
	} {
		if err := x.check(); err != nil {
			return err
		}
	}
	return nil
}

func (x bound) check() error {
	switch {
	case !(x.asked >= x.least): // written so that NaN is refused too
		return fault.New("job.limits", fault.Invalid, "The limit for the %s is %s, and a job needs at least %s.", x.what, x.show(x.asked), x.show(x.least))
	case x.most > 0 && x.asked > x.most:
		return fault.New("job.limits", fault.Invalid, "The limit for the %s is %s, and this server gives a job at most %s.", x.what, x.show(x.asked), x.show(x.most))
	}
	return nil
}

// tighter is the smaller of two bounds where 0 means none.
func tighter(a, b float64) float64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func sizeText(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<28) == 0:
		return fmt.Sprintf("%g GiB", float64(n)/(1<<30))
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.4g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

func wallText(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return plural(int64(d/time.Hour), "hour")
	case d >= time.Minute && d%time.Minute == 0:
		return plural(int64(d/time.Minute), "minute")
	}
	return plural(int64(d/time.Second), "second")
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

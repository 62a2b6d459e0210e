package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is an amount of bytes, written as "512MiB", "2GiB" or a bare number.
type Size int64

// Binary multiples of a byte.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// units is ordered from large to small, so that printing takes the largest that
// divides; the decimal units are read but never printed.
var units = []struct {
	name string
	size Size
}{
	{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// Int64 returns the number of bytes.
func (s Size) Int64() int64 { return int64(s) }

// String returns the size with the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "2GiB", "1.5 GB" or "4096".
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// ParseSize reads a size that a person wrote. Unit letters may be of any case;
// without a unit the number counts bytes. Negative sizes are refused.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), Size(1)
	for _, u := range units {
		if n := len(number) - len(u.name); n >= 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.size
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(unit) {
		return Size(n) * unit, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0) || f*float64(unit) >= math.MaxInt64 || strings.ContainsAny(number, "xXpP_") {
		return 0, fmt.Errorf("%q is not a size; write for example \"512MiB\" or \"2GiB\"", text)
	}
	return Size(f * float64(unit)), nil
}

// Duration is a time span, written as "90s", "10m", "12h" or "7d". It is a
// struct so that a bare number, which would be nanoseconds, is refused.
type Duration struct{ time.Duration }

const day = 24 * time.Hour

// Minutes returns a Duration of n minutes.
func Minutes(n int) Duration { return Duration{time.Duration(n) * time.Minute} }

// String returns the shortest text that UnmarshalText reads back.
func (d Duration) String() string {
	switch {
	case d.Duration == 0:
		return "0s"
	case d.Duration%day == 0:
		return strconv.FormatInt(int64(d.Duration/day), 10) + "d"
	case d.Duration%time.Hour == 0:
		return strconv.FormatInt(int64(d.Duration/time.Hour), 10) + "h"
	case d.Duration%time.Minute == 0:
		return strconv.FormatInt(int64(d.Duration/time.Minute), 10) + "m"
	}
	return d.Duration.String()
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a time span that a person wrote.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// ParseDuration reads whole days ("7d") or what time.ParseDuration reads.
// Negative spans are refused.
func ParseDuration(text string) (Duration, error) {
	trimmed := strings.TrimSpace(text)
	if days, ok := strings.CutSuffix(trimmed, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if err == nil && n >= 0 && n <= int64(math.MaxInt64/day) {
			return Duration{time.Duration(n) * day}, nil
		}
	}
	v, err := time.ParseDuration(trimmed)
	if err != nil || v < 0 {
		return Duration{}, fmt.Errorf("%q is not a time span; write for example \"90s\", \"10m\", \"12h\" or \"7d\"", text)
	}
	return Duration{v}, nil
}

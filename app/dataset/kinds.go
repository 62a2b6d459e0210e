package dataset

import (
	"math"
	"strconv"
	"unsafe"
)

// kinds is a set of types that every value seen so far fits.
type kinds uint8

const (
	isInteger kinds = 1 << iota
	isReal
	isBoolean
	isDate
	anyKind = isInteger | isReal | isBoolean | isDate
)

// best is the narrowest type of the set. A column without values is text.
func (k kinds) best(values bool) Type {
	switch {
	case !values:
		return Text
	case k&isInteger != 0:
		return Integer
	case k&isReal != 0:
		return Real
	case k&isBoolean != 0:
		return Boolean
	case k&isDate != 0:
		return Date
	}
	return Text
}

// kindOf is the bit of a declared type; Text needs none.
func kindOf(t Type) kinds {
	switch t {
	case Integer:
		return isInteger
	case Real:
		return isReal
	case Boolean:
		return isBoolean
	case Date:
		return isDate
	}
	return 0
}

// parseInteger reads an integer of 64 bits without leading zeros: "007" is a
// code, not a number, and would lose its zeros.
func parseInteger(b []byte) (int64, bool) {
	digits := b
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && (len(digits) > 1 || len(b) > 1) {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		u = u*10 + uint64(c)
	}
	if len(b) != len(digits) {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// realShape accepts -1, .5, 1.5, 1e-3 and refuses leading zeros, "inf" and "nan".
// whole reports a number without point and exponent.
func realShape(b []byte) (ok, whole bool) {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	begin := i
	i = digitsFrom(b, i)
	before := i - begin
	if before > 1 && b[begin] == '0' {
		return false, false
	}
	after := 0
	whole = true
	if i < len(b) && b[i] == '.' {
		j := digitsFrom(b, i+1)
		after, i, whole = j-i-1, j, false
	}
	if before+after == 0 {
		return false, false
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		k := digitsFrom(b, j)
		if k == j {
			return false, false
		}
		i, whole = k, false
	}
	return i == len(b), whole
}

func digitsFrom(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// exactInteger is the whole number below which every one is a float64 of its own.
const exactInteger = 1 << 53

// parseReal reads a finite decimal number. Whole numbers that a float64 cannot
// hold exactly are refused: they are identifiers more often than measures.
func parseReal(b []byte) (float64, bool) {
	if len(b) > 64 {
		return 0, false
	}
	ok, whole := realShape(b)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(text(b), 64)
	if err != nil || math.IsInf(f, 0) || whole && math.Abs(f) >= exactInteger {
		return 0, false
	}
	return f, true
}

// text views bytes as a string for the length of one call.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// parseBoolean reads true and false as R, Python and SQL write them.
func parseBoolean(b []byte) (value, ok bool) {
	switch string(b) {
	case "true", "TRUE", "True":
		return true, true
	case "false", "FALSE", "False":
		return false, true
	}
	return false, false
}

var monthDays = [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// isDay accepts a real calendar day in the form 2026-12-31.
func isDay(b []byte) bool {
	if len(b) != 10 || b[4] != '-' || b[7] != '-' {
		return false
	}
	y, ok1 := number(b[0:4])
	m, ok2 := number(b[5:7])
	d, ok3 := number(b[8:10])
	if !ok1 || !ok2 || !ok3 || m < 1 || m > 12 || d < 1 || d > monthDays[m] {
		return false
	}
	leap := y%4 == 0 && (y%100 != 0 || y%400 == 0)
	return m != 2 || d < 29 || leap
}

func number(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, true
}

package check

import "math"

// encoded reports whether b holds a run of 64 or more characters that looks
// like base64 or hexadecimal rather than words or numbers (T15).
func encoded(b []byte) bool {
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && codeByte(b[j]) {
			j++
		}
		if j-i >= 64 && dense(b[i:j]) {
			return true
		}
		i = j + 1
	}
	return false
}

func codeByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '+' || c == '/' || c == '-' || c == '_' || c == '='
}

// dense measures the entropy of a run against what its alphabet allows.
func dense(run []byte) bool {
	var n [256]int
	hex, digits := true, true
	for _, x := range run {
		n[x]++
		hex = hex && isHex(x)
		digits = digits && isDigit(x)
	}
	h := 0.0
	for _, k := range n {
		if k > 0 {
			p := float64(k) / float64(len(run))
			h -= p * math.Log2(p)
		}
	}
	switch {
	case digits:
		return h > 2.8
	case hex:
		return h > 3
	}
	return h > 4.5
}

package check

import "math"

// number is a cell read as a number.
type number struct {
	ok     bool
	whole  bool // no fraction, however it is written
	point  bool // written with a fraction or an exponent
	digits int  // significant digits as written
	value  float64
}

// numberOf reads the usual ways of writing a number in results: signs, groups
// of three, a fraction, an exponent, a percent sign. comma says that the comma
// is the decimal mark.
func numberOf(b []byte, comma bool) (n number) {
	if !comma && len(b) <= 15 {
		if n, ok := plainNumber(b); ok {
			return n
		}
	}
	i, neg := 0, false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		neg = b[i] == '-'
		i++
	}
	if len(b)-i > 40 || i == len(b) {
		return n
	}
	mark, group := byte('.'), byte(',')
	if comma {
		mark, group = ',', '.'
	}
	var mant, places float64
	seen, point, run, groups := false, false, 0, 0
	lead := true
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			seen = true
			run++
			if c != '0' {
				lead = false
			}
			if !lead {
				n.digits++
			}
			mant = mant*10 + float64(c-'0')
			if point {
				places++
			}
		case c == mark && !point:
			if groups > 0 && run != 3 {
				return number{}
			}
			point = true
		case (c == group || c == ' ' || c == '\'' || c == '_') && !point && seen && (groups == 0 && run <= 3 || run == 3):
			groups++
			run = 0
		default:
			goto tail
		}
	}
tail:
	if !seen || groups > 0 && !point && run != 3 {
		return number{}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') && i+1 < len(b) {
		e, used := exponent(b[i+1:])
		if used == 0 {
			return number{}
		}
		point = true
		places -= float64(e)
		i += 1 + used
	}
	for i < len(b) && (b[i] == '%' || b[i] == ' ') {
		i++
	}
	if i != len(b) {
		return number{}
	}
	n.ok, n.point = true, point
	n.value = mant
	if places != 0 {
		n.value = scale(mant, places)
	}
	if neg {
		n.value = -n.value
	}
	n.whole = n.value == math.Trunc(n.value)
	return n
}

// plainNumber reads digits with at most one point, which is nearly every cell;
// ok is false for anything else.
func plainNumber(b []byte) (n number, ok bool) {
	var m uint64
	point := -1
	for i, c := range b {
		if d := c - '0'; d <= 9 {
			m = m*10 + uint64(d)
			if m > 0 {
				n.digits++
			}
		} else if c == '.' && point < 0 {
			point = i
		} else {
			return number{}, false
		}
	}
	if len(b) == 0 || point >= 0 && len(b) == 1 {
		return number{}, false
	}
	n.ok, n.value, n.whole = true, float64(m), true
	if point >= 0 {
		n.point = true
		n.value = scale(n.value, float64(len(b)-1-point))
		n.whole = n.value == math.Trunc(n.value)
	}
	return n, true
}

// tens are the powers that a float64 holds exactly.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

func scale(mant, places float64) float64 {
	if p := int(places); p > 0 && p < len(tens) {
		return mant / tens[p]
	}
	return mant / math.Pow(10, places)
}

func exponent(b []byte) (e, used int) {
	i, sign := 0, 1
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		if b[i] == '-' {
			sign = -1
		}
		i++
	}
	start := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' && i-start < 4 {
		e = e*10 + int(b[i]-'0')
		i++
	}
	if i == start {
		return 0, 0
	}
	return sign * e, i
}

// leading reads the whole number at the start of a cell such as "5 (12.5 %)",
// "5/120" or "n=5".
func leading(b []byte) (v int, ok bool) {
	i := 0
	if len(b) > 1 && (b[0] == 'n' || b[0] == 'N') {
		for i = 1; i < len(b) && (b[i] == ' ' || b[i] == '='); i++ {
		}
	}
	start := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' && i-start < 9 {
		v = v*10 + int(b[i]-'0')
		i++
	}
	if i == start || i == len(b) {
		return v, i > start
	}
	switch b[i] {
	case ' ', '(', '[', '/', '*', '\t', ';', '{':
		return v, true
	}
	return 0, false
}

// numbered finds "n=5" inside a text and returns 5.
func numbered(b []byte, from int) (v, at int) {
	for i := from; i < len(b); i++ {
		if b[i] != '=' || i == 0 {
			continue
		}
		j := i - 1
		for j > 0 && b[j] == ' ' {
			j--
		}
		if (b[j] != 'n' && b[j] != 'N') || j > 0 && isLetter(b[j-1]) {
			continue
		}
		k := i + 1
		for k < len(b) && b[k] == ' ' {
			k++
		}
		start := k
		for v = 0; k < len(b) && b[k] >= '0' && b[k] <= '9' && k-start < 9; k++ {
			v = v*10 + int(b[k]-'0')
		}
		if k > start && !(k+1 < len(b) && (b[k] == '.' || b[k] == ',') && isDigit(b[k+1])) {
			return v, k
		}
	}
	return 0, -1
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

package check

import (
	"bytes"
	"net/netip"
)

// identifiers looks in b for anything that names a person or a machine (T11).
// where completes "in …" of the message; it must not hold data.
func (c *collector) identifiers(b []byte, row, col int, where string) {
	digits, letters, ats, colons, dots, dashes := shapeOf(b)
	if ats > 0 && email(b) {
		c.add("T11", row, col, "email", "There is an e-mail address %s.", where)
	}
	if digits < 4 {
		return
	}
	if letters >= 1 && digits >= 4 && dashes >= 4 && uuid(b) {
		c.add("T11", row, col, "uuid", "There is a UUID %s, which may name a person's record.", where)
	}
	if letters >= 2 && digits >= 10 && iban(b) {
		c.add("T11", row, col, "iban", "There is a bank account number (IBAN) %s.", where)
	}
	if (dots >= 3 || colons >= 2) && address(b) {
		c.add("T11", row, col, "ip", "There is a network address %s.", where)
	}
	if digits >= 8 {
		c.numbers(b, row, col, where)
	}
}

func shapeOf(b []byte) (digits, letters, ats, colons, dots, dashes int) {
	for _, x := range b {
		switch {
		case isDigit(x):
			digits++
		case isLetter(x):
			letters++
		case x == '@':
			ats++
		case x == ':':
			colons++
		case x == '.':
			dots++
		case x == '-':
			dashes++
		}
	}
	return
}

func email(b []byte) bool {
	for i := 1; i < len(b); i++ {
		if b[i] != '@' || !mailByte(b[i-1]) {
			continue
		}
		dot, n := false, 0
		for j := i + 1; j < len(b) && (mailByte(b[j]) && b[j] != '_' && b[j] != '+' && b[j] != '%'); j++ {
			if b[j] == '.' {
				dot, n = true, 0
			} else if n++; dot && n >= 2 {
				return true
			}
		}
	}
	return false
}

func mailByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '.' || c == '_' || c == '-' || c == '+' || c == '%' || c >= 0x80
}

// word returns the next run of bytes that keep accepts, from i; at is -1 at the end.
func word(b []byte, i int, keep func(byte) bool) (w []byte, at, next int) {
	for i < len(b) && !keep(b[i]) {
		i++
	}
	if i == len(b) {
		return nil, -1, i
	}
	j := i
	for j < len(b) && keep(b[j]) {
		j++
	}
	return b[i:j], i, j
}

func hexDash(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' }

func uuid(b []byte) bool {
	for w, at, i := word(b, 0, hexDash); at >= 0; w, at, i = word(b, i, hexDash) {
		for k := 0; k+36 <= len(w); k++ {
			if uuidAt(w[k : k+36]) {
				return true
			}
		}
	}
	return false
}

func uuidAt(w []byte) bool {
	for i, x := range w {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (x == '-') || !dash && !isHex(x) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func ipByte(c byte) bool { return isHex(c) || c == '.' || c == ':' }

func address(b []byte) bool {
	for w, at, i := word(b, 0, ipByte); at >= 0; w, at, i = word(b, i, ipByte) {
		w = bytes.Trim(w, ".:")
		if n := bytes.Count(w, []byte(".")); n == 3 || bytes.Count(w, []byte(":")) >= 3 {
			if _, err := netip.ParseAddr(string(w)); err == nil {
				return true
			}
			if host, _, ok := bytes.Cut(w, []byte(":")); ok && n == 3 {
				if _, err := netip.ParseAddr(string(host)); err == nil {
					return true
				}
			}
		}
		if len(w) == 17 && mac(w) {
			return true
		}
	}
	return false
}

func mac(w []byte) bool {
	for i, x := range w {
		if colon := i%3 == 2; colon != (x == ':') || !colon && !isHex(x) {
			return false
		}
	}
	return true
}

// iban finds two letters, two digits and 11 to 30 letters or digits, spaces
// allowed, whose remainder by 97 is 1 (ISO 13616).
func iban(b []byte) bool {
	for i := 0; i+15 <= len(b); i++ {
		if i > 0 && (isLetter(b[i-1]) || isDigit(b[i-1])) {
			continue
		}
		if !isUpperish(b[i]) || !isUpperish(b[i+1]) || !isDigit(b[i+2]) || !isDigit(b[i+3]) {
			continue
		}
		var a [34]byte
		n := 0
		for j := i; j < len(b) && n < len(a) && (isUpperish(b[j]) || isDigit(b[j]) || b[j] == ' '); j++ {
			if b[j] != ' ' {
				a[n] = b[j] &^ 0x20
				if isDigit(b[j]) {
					a[n] = b[j]
				}
				n++
			}
			if ended := j+1 == len(b) || !isUpperish(b[j+1]) && !isDigit(b[j+1]); ended && n >= 15 && mod97(a[:n]) {
				return true
			}
		}
	}
	return false
}

func isUpperish(c byte) bool { return isLetter(c) }

func mod97(a []byte) bool {
	rem := 0
	for k := range a {
		x := a[(k+4)%len(a)]
		if isDigit(x) {
			rem = (rem*10 + int(x-'0')) % 97
		} else {
			rem = (rem*100 + int(x-'A') + 10) % 97
		}
	}
	return rem == 1
}

func phoneByte(c byte) bool {
	return isDigit(c) || c == ' ' || c == '-' || c == '(' || c == ')' || c == '+' || c == '.' || c == '/'
}

// numbers looks for NHS and phone numbers among the runs of digits.
func (c *collector) numbers(b []byte, row, col int, where string) {
	for w, at, i := word(b, 0, phoneByte); at >= 0; w, at, i = word(b, i, phoneByte) {
		if at > 0 && isLetter(b[at-1]) && w[0] != ' ' || i < len(b) && isLetter(b[i]) && w[len(w)-1] != ' ' {
			continue // part of a code
		}
		w = bytes.Trim(w, " -./")
		d, shape := digitsOf(w)
		switch {
		case nhsShape(shape) && nhs(d):
			c.add("T11", row, col, "nhs", "There is a valid NHS number %s.", where)
		case phone(d, shape, w):
			c.add("T11", row, col, "phone", "There is a phone number %s.", where)
		}
	}
}

// digitsOf returns the digits of w and the lengths of their groups.
func digitsOf(w []byte) (digits []byte, groups []int) {
	run := 0
	for _, x := range w {
		if isDigit(x) {
			digits = append(digits, x)
			run++
		} else if run > 0 {
			groups = append(groups, run)
			run = 0
		}
	}
	if run > 0 {
		groups = append(groups, run)
	}
	return digits, groups
}

func nhsShape(g []int) bool {
	return len(g) == 1 && g[0] == 10 || len(g) == 3 && g[0] == 3 && g[1] == 3 && g[2] == 4
}

// nhs checks the modulus 11 of a ten-digit NHS number.
func nhs(d []byte) bool {
	sum, same := 0, true
	for i := 0; i < 9; i++ {
		sum += int(d[i]-'0') * (10 - i)
		same = same && d[i] == d[0]
	}
	check := (11 - sum%11) % 11
	return check != 10 && check == int(d[9]-'0') && !(same && d[9] == d[0])
}

func phone(d []byte, groups []int, w []byte) bool {
	dots := bytes.Count(w, []byte("."))
	switch {
	case len(d) > 15 || len(d) < 8:
		return false
	case w[0] == '+' || bytes.HasPrefix(w, []byte("(+")):
		return len(d) >= 9 && dots != 1
	case bytes.HasPrefix(d, []byte("00")):
		return len(d) >= 11 && dots != 1
	case d[0] == '0':
		return len(d) >= 10 && len(d) <= 12 && dots != 1 && len(groups) <= 6
	case len(groups) == 3 && groups[0] == 3 && groups[1] == 3 && groups[2] == 4:
		return true
	}
	return false
}

// postcode reports whether a cell is a full British postcode.
func postcode(b []byte) bool {
	if len(b) < 5 || len(b) > 8 {
		return false
	}
	in := trim(b[len(b)-3:])
	out := trim(b[:len(b)-3])
	if len(in) != 3 || !isDigit(in[0]) || !isLetter(in[1]) || !isLetter(in[2]) || len(out) < 2 || len(out) > 4 || !isLetter(out[0]) {
		return false
	}
	area := 1
	if isLetter(out[1]) {
		area = 2
	}
	rest := out[area:]
	return len(rest) >= 1 && len(rest) <= 2 && isDigit(rest[0]) && (len(rest) == 1 || isDigit(rest[1]) || isLetter(rest[1]))
}

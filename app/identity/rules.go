package identity

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"tresor/app/fault"
)

// longestPassword bounds the work that one request can ask for, in bytes.
const longestPassword = 512

//go:embed common.txt
var commonText string

// common holds lower-case words and phrases that guessers try first.
var common = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for _, line := range strings.Fields(commonText) {
		set[line] = true
	}
	return set
})

// checkPassword refuses passwords that are short or that guessers try first. It
// asks for no mixture of signs: length is what counts.
func checkPassword(password, handle string, least int) error {
	switch {
	case !utf8.ValidString(password) || len(password) > longestPassword:
		return weak("A password has at most %d bytes of text.", longestPassword)
	case utf8.RuneCountInString(password) < least:
		return weak("This password is too short. Use at least %d characters; a sentence of four or five words is good.", least)
	case distinct(password) < 5 || monotone(password):
		return weak("This password is a simple pattern. A sentence of four or five words is better.")
	case isCommon(password):
		return weak("This password is among those that attackers try first. A sentence of four or five words is better.")
	case len(handle) > 2 && isCommonBase(password, handle):
		return weak("This password is made from your sign-in name. A sentence of four or five words is better.")
	}
	return nil
}

func weak(format string, args ...any) error {
	return fault.New("identity.checkPassword", fault.Invalid, format, args...)
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range strings.ToLower(s) {
		seen[r] = true
	}
	return len(seen)
}

// monotone finds "abcdefghijkl", "123456789012" and their like backwards: nearly
// every sign follows the one before it.
func monotone(s string) bool {
	up, down, n := 0, 0, 0
	last := rune(-1)
	for _, r := range strings.ToLower(s) {
		if last >= 0 {
			n++
			if r == last+1 || (last == '9' && r == '0') {
				up++
			}
			if r == last-1 || (last == '0' && r == '9') {
				down++
			}
		}
		last = r
	}
	return up*10 >= n*8 || down*10 >= n*8
}

// isCommon looks for a common word behind digits, signs and repetition, because
// "Password1234!" is what a rule about length alone invites.
func isCommon(password string) bool {
	lower := strings.ToLower(password)
	if common()[lower] || common()[letters(lower)] {
		return true
	}
	return common()[unrepeat(core(lower))] || common()[unrepeat(core(unleet(lower)))]
}

func isCommonBase(password, word string) bool {
	return unrepeat(core(strings.ToLower(password))) == core(word)
}

// core is what remains without digits and signs at both ends.
func core(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

// letters is what remains without spaces and signs anywhere.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// unrepeat returns "abc" for "abcabcabc".
func unrepeat(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return s[:n]
		}
	}
	return s
}

var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// unleet undoes the usual exchanges of signs for letters, keeping a tail of
// digits and signs, which core then takes off.
func unleet(s string) string {
	head := strings.TrimRightFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	return leet.Replace(head) + s[len(head):]
}

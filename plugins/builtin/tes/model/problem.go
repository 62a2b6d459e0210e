package model

import "strconv"

// Problem says what is wrong with a task, where, and what to write instead. Its
// text is ours: of the task it quotes at most a short, escaped name.
type Problem struct {
	Path  string // executors[0].command, as the sender would write it; empty: the body as a whole
	Text  string // a sentence with the next step
	Large bool   // it is a matter of size
}

func (p *Problem) Error() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// member is the path of a member of an object whose keys the sender chose.
func member(path, key string) string { return path + "[" + Quote(key) + "]" }

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Quote gives a stranger's words in a form that fits into a message: escaped,
// printable, at most 60 bytes of them.
func Quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

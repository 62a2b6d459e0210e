package check

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Version names this rule set. Change it with any rule, so that two reviews
// can be compared.
const Version = "1"

// Rule is one numbered check.
type Rule struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Next     string   `json:"next"` // the next step it proposes
}

// Rules lists every rule, in order of id.
func Rules() []Rule { return append([]Rule(nil), rules...) }

var rules = []Rule{
	{"I0", Block, "Checked in full", "Remove the file from the request, or make it smaller and simpler and ask again."},
	{"I2", Block, "Sizes, counts and names", "Rename, split or leave out what is over the limit."},
	{"I3", Block, "File type", "Export the result as csv, tsv, json, txt, md, png or jpg."},
	{"I4", Block, "One format, the one the name says", "Write the file again with the program that made it, in the format its name says."},
	{"I4i", Info, "Picture is written again from its pixels", "Nothing to do: what reviewers see is what is released."},
	{"I5", Warn, "Figures come with their counts", "Add a table with the counts behind each point or bar."},
	{"T1", Block, "Strict table", "Write one header line and the same number of cells in each line, as plain UTF-8 text."},
	{"T1w", Warn, "Table has no rows", "Leave the file out, or say in the context why an empty table matters."},
	{"T2", Block, "Counts under the threshold", "Suppress or round the small counts, or merge groups until each has enough people."},
	{"T2u", Warn, "Count column that is not numbers", "Write counts as plain whole numbers; write a suppressed cell as an empty cell, * or [c]."},
	{"T2w", Warn, "Small whole numbers that may be counts", "Name the column so that its meaning is clear, or suppress them if they count people."},
	{"T3", Warn, "Zeros and dominance", "Say in the context why a zero or a group with nearly everybody tells nothing about a person."},
	{"T6", Warn, "Rates and means without their n", "Add a column n with the number of people behind each value."},
	{"T9", Warn, "Extremes", "Leave out minimum and maximum, or use percentiles from 5 to 95."},
	{"T10", Block, "One row per person", "Release a table of groups with their counts, never rows of single people."},
	{"T10w", Warn, "Rows that may be single people", "Add a column n with the number of people behind each row."},
	{"T11", Block, "Direct identifiers", "Remove the identifiers."},
	{"T11w", Warn, "Places as fine as a postcode", "Use a larger area."},
	{"T13", Warn, "Too many digits", "Round to at most 6 significant digits."},
	{"T14", Warn, "Text a spreadsheet would run", "Put a letter or a space before it, or write it differently."},
	{"T15", Block, "Hidden or long text", "Remove encoded data and free text from the file."},
	{"T15w", Warn, "Long text", "Shorten the text; free text may describe a person."},
	{"X1", Block, "Plain readable text", "Save it as UTF-8 text of at most 200 KiB and 5,000 lines, without control or invisible characters."},
	{"X2w", Warn, "Log", "Send results, not logs; say in the context what the log shows."},
}

var ruleByID = func() map[string]Rule {
	m := make(map[string]Rule, len(rules))
	for _, r := range rules {
		m[r.ID] = r
	}
	return m
}()

// Profile sets the numbers of the rules.
type Profile struct {
	Name       string `json:"name"`
	Threshold  int    `json:"threshold"` // smallest count that may be shown
	MaxFile    int64  `json:"max_file"`  // bytes
	MaxRequest int64  `json:"max_request"`
	MaxFiles   int    `json:"max_files"`
	MaxRows    int    `json:"max_rows"`
	MaxCols    int    `json:"max_cols"`
	MaxLine    int    `json:"max_line"` // bytes of one table line
	MaxText    int64  `json:"max_text"` // bytes of txt and md
	MaxLines   int    `json:"max_lines"`
	// CountColumns are names of columns declared to hold counts of people.
	CountColumns []string `json:"count_columns,omitempty"`
}

// Standard is the default profile with the given threshold (10 if under 1).
func Standard(threshold int) Profile {
	if threshold < 1 {
		threshold = 10
	}
	return Profile{
		Name: "standard", Threshold: threshold,
		MaxFile: 16 << 20, MaxRequest: 64 << 20, MaxFiles: 200,
		MaxRows: 5000, MaxCols: 100, MaxLine: 10000,
		MaxText: 200 << 10, MaxLines: 5000,
	}
}

// RulesSHA256 is the hex hash of the rules, their version and the profile: two
// equal hashes mean the same judgement of the same bytes.
func RulesSHA256(p Profile) string {
	b, err := json.Marshal(struct {
		Version string  `json:"version"`
		Profile Profile `json:"profile"`
		Rules   []Rule  `json:"rules"`
	}{Version, p, rules})
	if err != nil {
		panic("check: rules do not encode: " + err.Error()) // plain structs always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

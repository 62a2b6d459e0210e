// Package demo holds what the demonstration shows: one real public dataset with
// its dictionary and provenance, the people and the project, and the analyses
// that they run. It is texts and bytes only: who loads them, and when, is
// decided by the program that imports this package.
package demo

import (
	"bytes"
	_ "embed"
)

// Person is somebody of the demonstration.
type Person struct {
	Handle  string
	Name    string
	Part    string   // the part they play: operator, steward, researcher, checker
	Roles   []string // site roles; project roles are given by the project
	SignsIn bool     // gets a one-time sign-in link
}

// People are everybody of the demonstration, in the order they are shown.
var People = []Person{
	{Handle: "olga", Name: "Olga Berg", Part: "operator", Roles: []string{"operator"}, SignsIn: true},
	{Handle: ResearcherHandle, Name: "Rosa Lindqvist", Part: "researcher", SignsIn: true},
	{Handle: "carl", Name: "Carl Haas", Part: "checker", Roles: []string{"checker"}, SignsIn: true},
	{Handle: "cemile", Name: "Cemile Aydin", Part: "checker", Roles: []string{"checker"}, SignsIn: true},
	{Handle: StewardHandle, Name: "Stefan Maurer", Part: "steward", Roles: []string{"steward"}},
}

// Who does what in the demonstration.
const (
	ResearcherHandle = "rosa"
	StewardHandle    = "stefan"
)

// The project of the demonstration.
const (
	ProjectSlug    = "aurora"
	ProjectName    = "Aurora: cost sharing and the use of care"
	ProjectPurpose = "Does paying a share of the bill change how often people visit a physician? Descriptive statistics by insurance plan and self-rated health."
)

// The dataset of the demonstration.
const (
	DatasetSlug        = "randhie"
	DatasetName        = "RAND Health Insurance Experiment"
	DatasetDescription = "Person-years from the RAND Health Insurance Experiment: outpatient visits, insurance plan and health of 20,190 person-years. A subset of the original, public domain."
	DatasetController  = "Public domain (collected by the RAND Corporation)"
	DatasetLicence     = "Public domain"
	FileName           = "randhie.csv" // the one source file
	Rows               = 20190         // data rows of FileName
)

// CSV is the source file: UTF-8, comma, header line, LF.
//
//go:embed randhie.csv
var CSV []byte

// Part is the header of CSV and every n-th row of it, beginning with row k, from 1.
// Part(1, 1) is all of it.
func Part(k, n int) []byte {
	if n <= 1 {
		return CSV
	}
	out := make([]byte, 0, len(CSV)/n+1000)
	row := -1 // the header
	for line := range bytes.SplitAfterSeq(CSV, []byte("\n")) {
		if row < 0 || row%n == k-1 {
			out = append(out, line...)
		}
		row++
	}
	return out
}

// Dictionary describes the columns of CSV, as JSON.
//
//go:embed dictionary.json
var Dictionary []byte

// Provenance says where CSV comes from and why it may be shown to anybody.
//
//go:embed provenance.txt
var Provenance string

// Analysis is one query with everything that an output checker wants to know.
type Analysis struct {
	Name       string
	Purpose    string // why the job is run
	Output     string // file name of the result
	SQL        string // one SELECT
	Context    string // what the result shows and why it is safe to release
	Population string
	Controls   string // what was done against disclosure
}

// Safe is the analysis of the main job: every group is large.
var Safe = Analysis{
	Name:       "Outpatient visits by self-rated health",
	Purpose:    "How the mean number of outpatient visits differs between self-rated health groups.",
	Output:     "visits_by_health.csv",
	SQL:        safeSQL,
	Context:    "Mean number of outpatient visits per person-year in four groups of self-rated health. The smallest group has 302 person-years, and only group sizes, means and shares are shown.",
	Population: "All 20,190 person-years of the RAND Health Insurance Experiment subset.",
	Controls:   "Groups under 10 person-years would be left out (HAVING COUNT(*) >= 10); means are rounded to two decimals, shares to one.",
}

// Small is an analysis with a cell under ten, which the airlock has to find.
var Small = Analysis{
	Name:       "Person-years by insurance plan and health",
	Purpose:    "Cell sizes of plan by self-rated health, to see where a comparison is possible.",
	Output:     "plan_by_health.csv",
	SQL:        smallSQL,
	Context:    "Number of person-years and mean visits in each combination of insurance plan and self-rated health.",
	Population: "All 20,190 person-years of the RAND Health Insurance Experiment subset.",
	Controls:   "None: the cells are shown as they are.",
}

// Federated is the analysis that a hub sends to every node: counts and sums, which
// add up to the pooled result without any node's rows.
var Federated = Analysis{
	Name:       "Pooled visits by self-rated health",
	Purpose:    "Counts and sums by self-rated health group on each node, pooled outside.",
	Output:     "counts_by_health.csv",
	SQL:        federatedSQL,
	Context:    "Number of person-years and of outpatient visits in four groups of self-rated health, to be added up over the nodes of the federation.",
	Population: "The person-years that this node holds.",
	Controls:   "Groups under 10 person-years are left out (HAVING COUNT(*) >= 10).",
}

//go:embed federated.sql
var federatedSQL string

//go:embed visits_by_health.sql
var safeSQL string

//go:embed plan_by_health.sql
var smallSQL string

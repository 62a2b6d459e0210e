package check

import (
	"strings"
	"unicode"
)

// What a column or a row is taken for, from the words of its name.
type sense uint16

const (
	countStrong  sense = 1 << iota // n, count: a number of people
	countWeak                      // total, number, visits: perhaps
	people                         // patients, deaths: a number of people unless it is a row's group
	statistic                      // mean, rate, coefficient: computed from many
	needsN                         // mean, percentage, rate: means nothing without its n
	extreme                        // min, max, percentile 1 or 99
	identity                       // id, person, nhs: names a person
	classCode                      // icd, lsoa, region: a code of a class
	birth                          // date of birth
	yearlike                       // year, age, month: small whole numbers that count nothing
	sequenceable                   // number, no: may number the rows
)

var senses = func() map[string]sense {
	m := map[string]sense{}
	for s, words := range map[sense]string{
		countStrong:              "n nobs ns count counts cnt freq freqs frequency frequencies cellcount denominator numerator denom atrisk nrisk nevent npatients nobservations ncases unweighted anzahl effectif antal aantal numero",
		countWeak:                "total totals size sum visits events episodes records rows admissions discharges prescriptions claims obs observations",
		countWeak | sequenceable: "number num nr no",
		people: "patients people persons participants subjects individuals households families respondents cases deaths died dead survivors men women males females " +
			"boys girls enrollees enrolled members controls exposed unexposed cohort population hospitalised hospitalized diagnosed infected",
		statistic | needsN: "mean means avg average median pct percent percentage percentages perc proportion prop share rate rates ratio prevalence incidence fraction risk",
		statistic: "sd std stddev se stderr var variance iqr coef coefficient coefs estimate beta or hr rr ci lower upper lcl ucl pvalue p t z chi2 score " +
			"index r2 rsquared auc cost price income spend spending expenditure amount value fstat statistic smd gini weight deviation residual correlation r",
		statistic | extreme: "min max minimum maximum range lowest highest oldest youngest earliest latest p1 p01 p99 p100 q0 q100",
		extreme:             "first last",
		identity:            "id ids uid guid uuid pid nhs mrn ssn nino chi hospitalno identifier patid personid patientid subjectid eid pseudonym pseudo upi bsn cpr pesel",
		identity | people:   "person patient participant subject individual",
		classCode:           "icd icd10 icd9 atc snomed opcs read code codes lsoa msoa region area ward postcode district zone category class group dx term drug procedure hospital site practice",
		birth:               "dob birthdate birthday dateofbirth",
		yearlike:            "year years yr age ages month months week weeks day days quarter date decile quintile quartile level lag step order rank bin band wave visitno t0 time",
	} {
		for _, w := range strings.Fields(words) {
			m[w] |= s
		}
	}
	return m
}()

// units make an amount of people when they follow a word for people.
var units = map[string]bool{"year": true, "years": true, "month": true, "months": true, "week": true, "weeks": true, "day": true, "days": true, "time": true}

// tokens cuts a name into lower-case words at anything that is not a letter or
// digit, and at capitals inside a word.
func tokens(name string) []string {
	var b strings.Builder
	prev := ' '
	for _, r := range name {
		if unicode.IsUpper(r) && unicode.IsLower(prev) {
			b.WriteByte(' ')
		}
		prev = r
		if r == '%' {
			b.WriteString(" percent ")
		} else if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

// senseOf adds up what the words of a name say.
func senseOf(name string) sense {
	words := tokens(name)
	var s sense
	for i, w := range words {
		s |= senses[w]
		if len(w) > 1 && w[0] == 'n' && strings.Trim(w[1:], "0123456789") == "" {
			s |= countStrong // n1, n2
		}
		if i+1 < len(words) && (w == "no" || w == "number" || w == "num") && words[i+1] == "of" {
			s |= countStrong
		}
		if i+1 < len(words) && senses[w].has(people|identity) && units[words[i+1]] {
			return countStrong // person-years, patient_days: amounts of people
		}
		if i+1 < len(words) && w == "at" && words[i+1] == "risk" {
			s = s&^(statistic|needsN) | countStrong
		}
	}
	if len(words) > 1 && senses[words[0]].has(countStrong) && words[1] == "percent" {
		s = countStrong // "n (%)"
	}
	joined := strings.Join(words, "")
	if strings.Contains(joined, "dateofbirth") || strings.Contains(joined, "birthdate") {
		s |= birth
	}
	if len(words) > 1 && words[len(words)-1] == "id" {
		s |= identity
	}
	return s
}

func (s sense) has(x sense) bool { return s&x != 0 }

// nameSaysCounts reports whether a file's name promises counts in every cell.
func nameSaysCounts(name string) bool {
	for _, w := range tokens(strings.TrimSuffix(name, "."+ext(name))) {
		switch w {
		case "count", "counts", "crosstab", "crosstabs", "frequencies", "frequency", "freq", "freqs", "contingency":
			return true
		}
	}
	return false
}

// isTotal reports whether a row label names a margin.
func isTotal(label []byte) bool {
	switch strings.ToLower(strings.TrimSpace(string(label))) {
	case "total", "totals", "all", "overall", "sum", "any", "everyone", "grand total":
		return true
	}
	return false
}

package cli

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tresor/app/fault"
	"tresor/embed/demo"
)

// readPool reads the one table of a node's release.
func readPool(zipped []byte) ([]pooled, error) {
	const op = "cli.demo"
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return nil, fault.Kinded(op, fault.Invalid, err, "The release is no zip: %v.", err)
	}
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "/"+demo.Federated.Output) {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		defer r.Close()
		return parsePool(io.LimitReader(r, 1<<20))
	}
	return nil, fault.New(op, fault.NotFound, "The release does not hold %s.", demo.Federated.Output)
}

func parsePool(r io.Reader) ([]pooled, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil || len(rows) < 2 || strings.Join(rows[0], ",") != "self_rated_health,person_years,visits" {
		return nil, fault.Kinded("cli.demo", fault.Invalid, err, "The released table is not the one that was asked for.")
	}
	var all []pooled
	for _, row := range rows[1:] {
		n, errN := strconv.ParseInt(row[1], 10, 64)
		v, errV := strconv.ParseInt(row[2], 10, 64)
		if errN != nil || errV != nil {
			return nil, fault.New("cli.demo", fault.Invalid, "The released table holds %q, which are no numbers.", row)
		}
		all = append(all, pooled{row[0], n, v})
	}
	return all, nil
}

// add adds the nodes' tables up, group by group, most visits per person-year first.
func add(tables ...[]pooled) []pooled {
	sums := map[string]pooled{}
	for _, t := range tables {
		for _, r := range t {
			s := sums[r.group]
			sums[r.group] = pooled{r.group, s.personYears + r.personYears, s.visits + r.visits}
		}
	}
	var all []pooled
	for _, s := range sums {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b pooled) int {
		if d := b.visits*a.personYears - a.visits*b.personYears; d != 0 {
			return int(d)
		}
		return strings.Compare(a.group, b.group)
	})
	return all
}

// print is the result: the pooled table, then each node's audit root.
func (f *fedRun) print() {
	var tables [][]pooled
	for _, n := range f.nodes {
		tables = append(tables, n.pool)
	}
	var rows [][]string
	var years, visits int64
	for _, r := range add(tables...) {
		years, visits = years+r.personYears, visits+r.visits
		rows = append(rows, []string{r.group, fmt.Sprint(r.personYears), fmt.Sprint(r.visits), fmt.Sprintf("%.2f", float64(r.visits)/float64(r.personYears))})
	}
	rows = append(rows, []string{"all", fmt.Sprint(years), fmt.Sprint(visits), fmt.Sprintf("%.2f", float64(visits)/float64(years))})
	fmt.Fprintln(f.e.out)
	table(f.e.out, "self-rated health|person-years|visits|visits per person-year", rows)
	fmt.Fprintln(f.e.out)
	for _, n := range f.nodes {
		fmt.Fprintf(f.e.out, "audit root of %s: %s\n", n.name, n.root)
	}
}

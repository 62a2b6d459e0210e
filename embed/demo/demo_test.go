package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

func TestCSVIsWhatProvenanceSays(t *testing.T) {
	sum := sha256.Sum256(CSV)
	if !strings.Contains(Provenance, hex.EncodeToString(sum[:])) {
		t.Errorf("provenance.txt does not hold the hash of randhie.csv, %x", sum)
	}
	rows, err := csv.NewReader(bytes.NewReader(CSV)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(rows) - 1; got != Rows {
		t.Errorf("randhie.csv has %d data rows, Rows says %d", got, Rows)
	}
}

func TestDictionaryDescribesEveryColumn(t *testing.T) {
	var d struct {
		Tables []struct {
			Name    string
			Columns []struct{ Name, Label, Description, Type string }
		}
	}
	if err := json.Unmarshal(Dictionary, &d); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(CSV), "\n")
	var names []string
	for _, c := range d.Tables[0].Columns {
		names = append(names, c.Name)
		if c.Label == "" || c.Description == "" || c.Type == "" {
			t.Errorf("column %s: label, description or type is missing", c.Name)
		}
	}
	if got := strings.Join(names, ","); got != header {
		t.Errorf("dictionary has columns %s, the file has %s", got, header)
	}
}

func TestTheStoryHasItsPeople(t *testing.T) {
	parts := map[string]int{}
	for _, p := range People {
		parts[p.Part]++
	}
	if parts["operator"] != 1 || parts["researcher"] != 1 || parts["checker"] != 2 || parts["steward"] != 1 {
		t.Errorf("people by part: %v", parts)
	}
	for _, a := range []Analysis{Safe, Small} {
		if a.SQL == "" || a.Context == "" || a.Population == "" || a.Controls == "" {
			t.Errorf("analysis %q is incomplete", a.Name)
		}
	}
}

func TestPartsHoldEveryRowOnce(t *testing.T) {
	header, rows, _ := strings.Cut(string(CSV), "\n")
	want := map[string]int{}
	for row := range strings.Lines(rows) {
		want[row]++
	}
	for k := 1; k <= 3; k++ {
		h, part, _ := strings.Cut(string(Part(k, 3)), "\n")
		if n := strings.Count(part, "\n"); h != header || n != Rows/3 {
			t.Errorf("part %d has header %q and %d rows, want %d", k, h, n, Rows/3)
		}
		for row := range strings.Lines(part) {
			want[row]--
		}
	}
	for row, n := range want {
		if n != 0 {
			t.Fatalf("row %q is left %d times", row, n)
		}
	}
	if !bytes.Equal(Part(1, 1), CSV) {
		t.Error("the only part is not the whole")
	}
}

package cli

import (
	"reflect"
	"strings"
	"testing"
)

func TestPoolAddsUpByGroup(t *testing.T) {
	a, err := parsePool(strings.NewReader("self_rated_health,person_years,visits\ngood,10,30\npoor,5,50\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := add(a, []pooled{{"good", 10, 10}}, nil)
	if want := []pooled{{"poor", 5, 50}, {"good", 20, 40}}; !reflect.DeepEqual(got, want) {
		t.Errorf("pooled %v, want %v", got, want)
	}
}

func TestPoolRefusesAnotherTable(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"header only":       "self_rated_health,person_years,visits\n",
		"other columns":     "a,b,c\nx,1,2\n",
		"text for a number": "self_rated_health,person_years,visits\ngood,ten,30\n",
	} {
		if rows, err := parsePool(strings.NewReader(text)); err == nil {
			t.Errorf("%s: taken as %v", name, rows)
		}
	}
	if _, err := readPool([]byte("no zip")); err == nil {
		t.Error("bytes that are no zip are taken")
	}
}

package check

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"testing"
)

// wide makes a table within the limits: 5,000 rows of 60 columns.
func wide() []byte {
	var b strings.Builder
	b.WriteString("region,age,n")
	for c := 3; c < 60; c++ {
		fmt.Fprintf(&b, ",mean_%d", c)
	}
	b.WriteByte('\n')
	for r := 0; r < 5000; r++ {
		fmt.Fprintf(&b, "Region number %d,%d,%d", r%40, 18+r%70, 100+r)
		for c := 3; c < 60; c++ {
			fmt.Fprintf(&b, ",%d.%02d", r*c%4000, r%100)
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// words makes a table of text cells, the slowest kind.
func words() []byte {
	var b strings.Builder
	b.WriteString("region,label,note,n\n")
	for r := 0; r < 5000; r++ {
		fmt.Fprintf(&b, "Region number %d,Adults in good health at %d,\"A plan with a shared cost, kind %d\",%d\n", r%40, r%9, r%7, 100+r)
	}
	return []byte(b.String())
}

// BenchmarkCSV prints MB/s; the house asks for 50 or more on a quiet machine.
// On a busy one compare it with /baseline, which only parses.
func BenchmarkCSV(b *testing.B) {
	for _, c := range []struct {
		name string
		data []byte
	}{{"numbers", wide()}, {"words", words()}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				res := File(context.Background(), Standard(10), "a.csv", int64(len(c.data)), bytes.NewReader(c.data))
				if res.Blocks() > 0 {
					b.Fatal(show(res.Findings))
				}
			}
		})
		b.Run(c.name+"/baseline", func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			for b.Loop() {
				r := csv.NewReader(bytes.NewReader(c.data))
				r.ReuseRecord = true
				for {
					if _, err := r.Read(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

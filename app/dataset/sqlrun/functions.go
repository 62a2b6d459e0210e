package sqlrun

import (
	"errors"
	"math"
	"sort"
)

// registrar is what the driver's connection offers for functions of ours.
type registrar interface {
	RegisterFunc(name string, impl any, pure bool) error
	RegisterAggregator(name string, impl any, pure bool) error
}

// scalars are mathematical functions that the SQLite of this build lacks. They
// answer NULL for NULL, for texts, and outside their domain.
var scalars = map[string]func(float64) float64{
	"exp": math.Exp, "ln": math.Log, "log": math.Log10, "log10": math.Log10, "log2": math.Log2,
	"sqrt": math.Sqrt, "floor": math.Floor, "ceil": math.Ceil, "ceiling": math.Ceil,
}

// aggregates are what researchers miss in SQLite. All of them ignore NULL.
var aggregates = map[string]any{
	"stdev":    func() *moments { return &moments{finish: stdev} },
	"stddev":   func() *moments { return &moments{finish: stdev} },
	"variance": func() *moments { return &moments{finish: variance} },
	"median":   func() *median { return &median{} },
	"quantile": func() *quantile { return &quantile{} },
	"corr":     func() *correlation { return &correlation{} },
}

func functionNames() []string {
	names := []string{"count", "sum", "avg", "min", "max", "total", "round", "abs", "coalesce", "ifnull", "iif", "nullif",
		"length", "lower", "upper", "substr", "trim", "replace", "date", "strftime", "julianday", "printf", "group_concat",
		"row_number", "rank", "ntile", "lag", "lead", "power", "pow"}
	for n := range scalars {
		names = append(names, n)
	}
	for n := range aggregates {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// addFunctions is called with the driver's connection.
func addFunctions(conn any) error {
	r, ok := conn.(registrar)
	if !ok {
		return errors.New("the SQLite driver takes no functions")
	}
	for name, f := range scalars {
		if err := r.RegisterFunc(name, func(x any) any { return finite(f(number(x))) }, true); err != nil {
			return err
		}
	}
	for _, name := range []string{"pow", "power"} {
		if err := r.RegisterFunc(name, func(x, y any) any { return finite(math.Pow(number(x), number(y))) }, true); err != nil {
			return err
		}
	}
	for name, make := range aggregates {
		if err := r.RegisterAggregator(name, make, true); err != nil {
			return err
		}
	}
	return nil
}

// number is NaN for everything that is not a number.
func number(x any) float64 {
	switch v := x.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// finite is NULL for what is not a number.
func finite(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

// moments keeps count, mean and squared distances in one pass (Welford), which
// loses no digits when the mean is large.
type moments struct {
	n      float64
	mean   float64
	m2     float64
	finish func(m *moments) float64
}

// Step takes one value.
func (m *moments) Step(x any) {
	v := number(x)
	if math.IsNaN(v) {
		return
	}
	m.n++
	d := v - m.mean
	m.mean += d / m.n
	m.m2 += d * (v - m.mean)
}

// Done is NULL for fewer than two values.
func (m *moments) Done() any {
	if m.n < 2 {
		return nil
	}
	return finite(m.finish(m))
}

// variance is that of a sample: divided by n - 1.
func variance(m *moments) float64 { return m.m2 / (m.n - 1) }

func stdev(m *moments) float64 { return math.Sqrt(variance(m)) }

// median is the middle value, or the mean of the two middle ones.
type median struct{ values []float64 }

// Step takes one value.
func (m *median) Step(x any) {
	if v := number(x); !math.IsNaN(v) {
		m.values = append(m.values, v)
	}
}

// Done is NULL without values.
func (m *median) Done() any { return quantileOf(m.values, 0.5) }

// quantile interpolates linearly between the two nearest values (type 7 of
// Hyndman and Fan, as in R and NumPy).
type quantile struct {
	values []float64
	p      float64
}

// Step takes one value and the share p from 0 to 1.
func (q *quantile) Step(x, p any) error {
	q.p = number(p)
	if math.IsNaN(q.p) || q.p < 0 || q.p > 1 {
		return errors.New("the second argument of quantile is a share from 0 to 1, such as 0.25")
	}
	if v := number(x); !math.IsNaN(v) {
		q.values = append(q.values, v)
	}
	return nil
}

// Done is NULL without values.
func (q *quantile) Done() any { return quantileOf(q.values, q.p) }

func quantileOf(values []float64, p float64) any {
	if len(values) == 0 {
		return nil
	}
	sort.Float64s(values)
	at := p * float64(len(values)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(values)-1)
	return finite(values[low] + (at-float64(low))*(values[high]-values[low]))
}

// correlation is Pearson's, over the pairs without NULL.
type correlation struct {
	n, mx, my, xx, yy, xy float64
}

// Step takes one pair.
func (c *correlation) Step(x, y any) {
	a, b := number(x), number(y)
	if math.IsNaN(a) || math.IsNaN(b) {
		return
	}
	c.n++
	dx, dy := a-c.mx, b-c.my
	c.mx += dx / c.n
	c.my += dy / c.n
	c.xx += dx * (a - c.mx)
	c.yy += dy * (b - c.my)
	c.xy += dx * (b - c.my)
}

// Done is NULL for fewer than two pairs or when a side is constant.
func (c *correlation) Done() any {
	if c.n < 2 {
		return nil
	}
	return finite(c.xy / math.Sqrt(c.xx*c.yy))
}

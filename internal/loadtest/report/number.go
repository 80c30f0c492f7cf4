package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// missing stands for a value that could not be measured.
const missing = "-"

// number shows v with thousands separators and at least three significant digits: 1,263,417 and 37.6 and 0.0123.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return missing
	}
	size := math.Abs(v)
	if size == 0 {
		return "0" // and not -0
	}
	if size < 1e-6 || size >= 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	text := decimal(v, decimals(size))
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// decimals is how many digits behind the point show three significant ones of a value of that size, which is not 0.
func decimals(size float64) int {
	if size >= 100 {
		return 0
	}
	return 2 - int(math.Floor(math.Log10(size)))
}

// decimal shows v with thousands separators and so many digits behind the point.
func decimal(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, fraction, broken := strings.Cut(text, ".")
	text = sign + grouped(whole)
	if broken {
		text += "." + fraction
	}
	return text
}

// grouped sets a comma between each three digits from the right.
func grouped(digits string) string {
	var parts []string
	for len(digits) > 3 {
		parts = append(parts, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	parts = append(parts, digits)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// integer shows n with thousands separators.
func integer(n int64) string {
	if n < 0 {
		return "-" + grouped(strings.TrimPrefix(strconv.FormatInt(n, 10), "-"))
	}
	return grouped(strconv.FormatInt(n, 10))
}

// scale finds the factor and the name of the unit in which a value of that size is shown.
func scale(size float64, unit string) (factor float64, name string) {
	rest, ok := strings.CutPrefix(unit, "B")
	if !ok || (rest != "" && rest != "/s") {
		return 1, unit
	}
	factor = 1
	for _, prefix := range []string{"", "Ki", "Mi", "Gi"} {
		if math.Abs(size)/factor < 1024 || math.IsInf(size, 0) || math.IsNaN(size) {
			return factor, prefix + unit
		}
		factor *= 1024
	}
	return factor, "Ti" + unit
}

// amount shows a value and the unit it is shown in.
func amount(v float64, unit string) (value, shown string) {
	factor, name := scale(v, unit)
	return number(v / factor), name
}

// quantity shows a value with its unit.
func quantity(v float64, unit string) string {
	value, name := amount(v, unit)
	if name == "" || value == missing {
		return value
	}
	return value + " " + name
}

// ratio shows v as a multiple of the base, "" if there is no such thing.
func ratio(v, base float64) string {
	r := v / base
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return ""
	}
	if math.Abs(r) >= 0.995 && math.Abs(r) < 10 {
		return decimal(r, 2) + "x"
	}
	return number(r) + "x"
}

// lasted shows a duration given in seconds.
func lasted(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

package pointer

import (
	"strconv"
	"strings"
)

// canonical writes a JSON number so that equal numbers are written alike, however long they are: as the digits between the
// outermost that are not 0, and the power of ten of the last of them. 1, 1.0 and 1e0 are 1e0; 150 and 1.5e2 are 15e1. A
// number whose exponent needs more than 32 bits stays as it is written.
func canonical(number string) string {
	mantissa, exponent := number, int64(0)
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		var err error
		mantissa = number[:i]
		if exponent, err = strconv.ParseInt(number[i+1:], 10, 32); err != nil {
			return number
		}
	}
	sign := ""
	if rest, negative := strings.CutPrefix(mantissa, "-"); negative {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	last := strings.TrimRight(digits, "0")
	if last == "" {
		return "0"
	}
	return sign + last + "e" + strconv.FormatInt(exponent+int64(len(digits)-len(last)-len(fraction)), 10)
}

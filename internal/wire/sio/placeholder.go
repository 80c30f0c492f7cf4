package sio

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
)

// Placeholder is where an attachment belongs: the object at data[Start:End] stands for attachment Num.
type Placeholder struct {
	Start, End int
	Num        int
}

// inlineGrowth bounds what repeated placeholders may add: see Inline.
const inlineGrowth = 4

// Placeholders appends to dst the placeholders in data, in the order of the text. data is JSON that [Parse] or
// [CheckJSON] accepted, and attachments the number of attachments.
//
// As in the JavaScript decoder, a placeholder is an object at any depth whose member _placeholder is true, in whatever
// order and whatever else it holds; the last of equal keys counts; what is inside it is not looked at; two may name the
// same attachment, and an attachment may be named by none. An index that is not an integer from 0 to attachments-1 is
// an *[Error].
func Placeholders(dst []Placeholder, data []byte, attachments int) ([]Placeholder, error) {
	found, err := appendPlaceholders(dst, data, attachments)
	if err != nil {
		return dst, err
	}
	return found, nil
}

func appendPlaceholders(dst []Placeholder, data []byte, attachments int) ([]Placeholder, *Error) {
	w := walker{b: data, found: dst}
	if _, err := w.value(skipSpace(data, 0)); err != nil {
		return nil, err
	}
	for _, p := range w.found[len(dst):] {
		if p.Num < 0 || p.Num >= attachments {
			return nil, errorAt(p.Start, "placeholder for none of the %d attachments", attachments)
		}
	}
	return w.found, nil
}

func checkPlaceholders(data []byte, attachments int) *Error {
	_, err := appendPlaceholders(make([]Placeholder, 0, attachments), data, attachments)
	return err
}

// Inline appends data to dst with every placeholder replaced by its attachment as a JSON string in standard base64,
// which encoding/json decodes into a []byte. Placeholders are found as by [Placeholders], whose errors it returns.
//
// Official encoders name each attachment once. Naming one again is accepted as long as all strings together are at most
// four times what all attachments need once; else a small packet could ask for a huge result.
func Inline(dst, data []byte, attachments [][]byte) ([]byte, error) {
	found, err := Placeholders(make([]Placeholder, 0, len(attachments)), data, len(attachments))
	if err != nil {
		return dst, err
	}
	once, all := 0, 0
	for _, a := range attachments {
		once += inlineLen(a)
	}
	for _, p := range found {
		if all += inlineLen(attachments[p.Num]); all > inlineGrowth*once {
			return dst, errorAt(p.Start, "attachments repeated beyond %d times their size", inlineGrowth)
		}
	}
	dst = slices.Grow(dst, len(data)+all)
	done := 0
	for _, p := range found {
		dst = append(dst, data[done:p.Start]...)
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, attachments[p.Num])
		dst = append(dst, '"')
		done = p.End
	}
	return append(dst, data[done:]...), nil
}

func inlineLen(attachment []byte) int {
	return base64.StdEncoding.EncodedLen(len(attachment)) + len(`""`)
}

// walker finds the placeholders in a JSON text. depth bounds its recursion.
type walker struct {
	b     []byte
	found []Placeholder
	depth int
}

// value reads the value at b[i] and returns its end.
func (w *walker) value(i int) (int, *Error) {
	c := at(w.b, i)
	if c != '{' && c != '[' {
		return scanScalar(w.b, i)
	}
	if w.depth == MaxDepth {
		return 0, errorAt(i, "JSON nested deeper than %d", MaxDepth)
	}
	w.depth++
	defer func() { w.depth-- }()
	if c == '{' {
		return w.object(i)
	}
	return w.array(i)
}

func (w *walker) array(start int) (int, *Error) {
	i := skipSpace(w.b, start+1)
	for at(w.b, i) != ']' {
		end, err := w.value(i)
		if err != nil {
			return 0, err
		}
		if i, err = w.separator(end, ']'); err != nil {
			return 0, err
		}
	}
	return i + 1, nil
}

func (w *walker) object(start int) (int, *Error) {
	outside := len(w.found)
	marked, num := false, -1
	i := skipSpace(w.b, start+1)
	for at(w.b, i) != '}' {
		value, err := scanKey(w.b, i)
		if err != nil {
			return 0, err
		}
		end, err := w.value(value)
		if err != nil {
			return 0, err
		}
		switch key := w.b[i:value]; {
		case keyIs(key, "_placeholder"):
			marked = string(w.b[value:end]) == "true"
		case keyIs(key, "num"):
			num = index(w.b[value:end])
		}
		if i, err = w.separator(end, '}'); err != nil {
			return 0, err
		}
	}
	if marked { // what was found inside is replaced with it
		w.found = append(w.found[:outside], Placeholder{Start: start, End: i + 1, Num: num})
	}
	return i + 1, nil
}

// separator returns the start of the next element behind one that ended at i, or the position of the closing byte.
func (w *walker) separator(i int, closing byte) (int, *Error) {
	i = skipSpace(w.b, i)
	switch at(w.b, i) {
	case closing:
		return i, nil
	case ',':
		return skipSpace(w.b, i+1), nil
	}
	return 0, unexpected(w.b, i, "a comma or the end of an array or object")
}

// keyIs reports whether key, a JSON string and perhaps the colon behind it, means name.
func keyIs(key []byte, name string) bool {
	end, err := scanString(key, 0)
	if err != nil || end < len(name)+2 || end > len(name)*maxEscapeSize+2 {
		return false
	}
	if inner := key[1 : end-1]; isPlain(inner) {
		return string(inner) == name
	}
	s, ok := unquote(key[:end])
	return ok && s == name
}

// index is the attachment index that the JSON value raw means, -1 if none: JavaScript knows one kind of number, so 1.0
// and 10e-1 are 1.
func index(raw []byte) int {
	if c := at(raw, 0); c != '-' && !isDigit(c) {
		return -1
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		return -1
	}
	return int(f)
}

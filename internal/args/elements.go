package args

import (
	"encoding/json"
	"reflect"

	"github.com/streamweir/weir/internal/wire/sio"
)

// elements walks over the elements of a JSON array.
type elements struct {
	raw []byte
	i   int // where the next element begins, or the array ends
}

// newElements stands behind the first skip elements of raw, or of fewer if there are not so many.
func newElements(raw []byte, skip int) elements {
	e := elements{raw, space(raw, 1)}
	for ; skip > 0 && e.more(); skip-- {
		e.pass()
	}
	return e
}

// more reports whether there is another element.
func (e *elements) more() bool { return e.i < len(e.raw) && e.raw[e.i] != ']' }

// pass passes over an element and returns it.
func (e *elements) pass() []byte {
	begin := e.i
	end, ok := sio.ValueEnd(e.raw, begin)
	if !ok {
		end = len(e.raw) // not reached with what sio.Parse has accepted
	}
	e.behind(end)
	return e.raw[begin:end:end]
}

// behind goes on after an element that ended there.
func (e *elements) behind(end int) {
	if e.i = space(e.raw, end); at(e.raw, e.i) == ',' {
		e.i = space(e.raw, e.i+1)
	}
}

// decode decodes the next element into a pointer, and passes over it; with nil it does only that.
func (e *elements) decode(into any) error {
	if into == nil {
		e.pass()
		return nil
	}
	to := reflect.ValueOf(into)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return json.Unmarshal(e.pass(), into) // says what is wrong with it
	}
	if p := planOf(to.Type().Elem()); p != foreign {
		d := decoder{b: e.raw}
		if end, ok := d.decode(p, e.i, to.Elem()); ok {
			e.behind(end)
			return d.finish()
		}
	}
	return json.Unmarshal(e.pass(), into)
}

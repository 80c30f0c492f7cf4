package weir_test

import (
	"errors"
	"testing"

	"github.com/streamweir/weir"
)

const (
	orderSchema = `{"type": "object", "required": ["symbol", "quantity"], "additionalProperties": false, "properties": {
		"symbol": {"type": "string", "pattern": "^[A-Z]{1,6}$"}, "quantity": {"type": "integer", "minimum": 1}, "price": {"type": "number"},
		"side": {"enum": ["buy", "sell"]}}}`
	anOrder = `{"symbol":"AAPL","quantity":100,"price":187.25,"side":"buy"}`
)

// checking is a server that holds the event order to a schema, or to none.
func checking(t testing.TB, schemas bool) *weir.Server {
	t.Helper()
	n := weir.NamespaceOptions{Path: "/"}
	if schemas {
		s, err := weir.ParseSchema([]byte(orderSchema))
		if err != nil {
			t.Fatal(err)
		}
		n.Schemas = []weir.SchemaOptions{{Name: "order", Schema: s}, {Name: "chat:*", Schema: s}}
	}
	srv, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{n}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return srv
}

// Where there is no schema, or none of that name, an event allocates nothing for it.
func TestEventWithoutSchemaAllocatesNothing(t *testing.T) {
	for name, check := range map[string]func() error{
		"no schemas":    weir.EventCheckForTest(checking(t, false), "/", "order", anOrder),
		"another event": weir.EventCheckForTest(checking(t, true), "/", "other", anOrder),
	} {
		if n := testing.AllocsPerRun(100, func() { _ = check() }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if err := weir.EventCheckForTest(checking(t, true), "/", "order", `{"symbol":"AAPL"}`)(); !errors.Is(err, weir.ErrSchema) {
		t.Errorf("the schema is not asked: %v", err)
	}
}

func BenchmarkEventSchema(b *testing.B) {
	for name, check := range map[string]func() error{
		"no schemas":    weir.EventCheckForTest(checking(b, false), "/", "order", anOrder),
		"another event": weir.EventCheckForTest(checking(b, true), "/", "other", anOrder),
		"a schema":      weir.EventCheckForTest(checking(b, true), "/", "order", anOrder),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := check(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

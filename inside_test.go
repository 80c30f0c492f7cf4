package weir_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/survey"
)

// What an idle connection with one socket costs in this package and in socketio:
// these two, and nothing else. The limits are size classes of the allocator.
func TestIdleConnectionIsSmall(t *testing.T) {
	for what, x := range map[string]struct{ size, limit uintptr }{
		"client": {weir.ClientSize, 128},
		"Socket": {weir.SocketSize, 64},
	} {
		if x.size > x.limit {
			t.Errorf("a %s takes %d bytes, want at most %d", what, x.size, x.limit)
		}
	}
}

func TestAddrAndNamespacesBelongToTheDefaultServer(t *testing.T) {
	authenticate := func(context.Context, weir.AuthRequest) (weir.Identity, error) {
		return weir.Identity{Principal: "ann"}, nil
	}
	top := []weir.NamespaceOptions{{Path: "/top"}}
	other := []weir.NamespaceOptions{{Path: "/other"}}
	for name, c := range map[string]struct {
		o    weir.Options
		want string // servers, each with the namespaces its clients may join
		auth string // those whose clients Authenticate is asked about
	}{
		"nothing":                 {weir.Options{}, "default[]", ""},
		"alone":                   {weir.Options{Namespaces: top}, "default[/top]", ""},
		"alone, with tokens":      {weir.Options{Namespaces: top, Authenticate: authenticate}, "default[/top]", "default"},
		"beside another":          {weir.Options{Namespaces: top, Servers: []weir.ServerOptions{{Name: "x", Namespaces: other}}}, "default[/top] x[/other]", ""},
		"with wishes":             {weir.Options{Namespaces: top, Servers: []weir.ServerOptions{{Namespaces: other}}}, "default[/top /other]", ""},
		"with wishes, by name":    {weir.Options{Addr: "127.0.0.1:0", Servers: []weir.ServerOptions{{Name: "x"}, {Name: "default", Namespaces: other}}}, "x[] default[/other]", ""},
		"wishes win about tokens": {weir.Options{Namespaces: top, Authenticate: authenticate, Servers: []weir.ServerOptions{{}}}, "default[/top]", ""},
		"others alone":            {weir.Options{Servers: []weir.ServerOptions{{Name: "x", Namespaces: other}}}, "x[/other]", ""},
	} {
		var got, auth []string
		srv, err := weir.New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Close() }) // it does not run
		for _, d := range weir.DoorsForTest(srv) {
			got = append(got, fmt.Sprint(d.Name, d.Namespaces))
			if d.Auth {
				auth = append(auth, d.Name)
			}
		}
		if strings.Join(got, " ") != c.want || strings.Join(auth, " ") != c.auth {
			t.Errorf("%s: servers %v, asking %v, want %s, asking %q", name, got, auth, c.want, c.auth)
		}
	}
	o := weir.Options{Addr: "127.0.0.1:1", Servers: []weir.ServerOptions{{Addr: "127.0.0.1:2"}}}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "Servers[0].Addr") {
		t.Errorf("two addresses for one server: %v", err)
	}
}

// TestClientViewIsAllThatTheManagementAPIShows: a figure that is new there would be missing here, and nobody would see it.
func TestClientViewIsAllThatTheManagementAPIShows(t *testing.T) {
	var all survey.Client
	fill(reflect.ValueOf(&all).Elem(), 1)
	want, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(weir.ViewForTest(&all))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the application sees\n%s\nthe API shows\n%s", got, want)
	}
}

// fill gives every field a value that no other has; it returns the next one.
func fill(v reflect.Value, n int) int {
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("text ", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		return fill(v.Index(1), fill(v.Index(0), n))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]uint64{"overflow": uint64(n)}))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(n), 0).UTC()))
			break
		}
		for i := range v.NumField() {
			n = fill(v.Field(i), n)
		}
		return n
	}
	return n + 1
}

// A loop is pressed while events wait for workers that get on with others; not if they hang, nor if nothing waits.
func TestLoopsArePressedOnlyByWorkersThatGetOn(t *testing.T) {
	s, err := weir.New(weir.Options{Workers: weir.WorkerOptions{Max: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	pressed, work := weir.PressedForTest(s)
	wants := func(want bool) {
		t.Helper()
		if got := pressed(); got != want {
			t.Errorf("pressed: %v", got)
		}
	}
	wants(false)
	entered, release := make(chan struct{}), make(chan struct{})
	for range 3 {
		work(func() { entered <- struct{}{}; <-release })
	}
	<-entered
	wants(false) // two wait, and the worker has come to none
	release <- struct{}{}
	<-entered
	wants(true)  // one waits, and it has come to one
	wants(false) // and to no other since
	release <- struct{}{}
	<-entered
	wants(false) // none waits
	release <- struct{}{}
}

package survey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/survey/top"
)

// pageOf is a page of so many clients, the first ranked highest.
func pageOf(t testing.TB, n int) *survey.Page {
	t.Helper()
	p := &survey.Page{Total: 12_345, Lagging: 7, Losing: 3}
	for i := range n {
		v := &survey.Client{ID: fmt.Sprint("id", i), Namespace: "/feed", Lanes: []survey.Lane{{Topic: "a"}}}
		e, err := survey.Encode(v, top.Rank{By: int64(500 - i), ID: v.ID})
		if err != nil {
			t.Fatal(err)
		}
		p.Clients = append(p.Clients, e)
	}
	return p
}

// What a node tells is what it has found, in so many bytes: clients are left out from the end, which is told.
func TestPageIsWhatFits(t *testing.T) {
	p := pageOf(t, 1000)
	whole := survey.AppendPage(nil, p, 1<<20)
	got, err := survey.ParsePage(whole, 1000)
	if err != nil || !reflect.DeepEqual(&got, p) {
		t.Fatalf("%d clients, %v", len(got.Clients), err)
	}
	for _, most := range []int{0, 1, 100, 1000, len(whole) / 2} {
		b := survey.AppendPage(nil, p, most)
		got, err := survey.ParsePage(b, 1000)
		n := len(got.Clients)
		if err != nil || !got.Short || got.Total != p.Total || n == 1000 || (n > 0 && !reflect.DeepEqual(got.Clients, p.Clients[:n])) {
			t.Errorf("in %d bytes: %d clients, short %t, %v", most, n, got.Short, err)
		}
		if len(b) > max(most, 64) {
			t.Errorf("%d bytes in %d", len(b), most)
		}
	}
	if _, err := survey.ParsePage(whole, 999); err == nil {
		t.Error("a page of more clients than were asked for was read")
	}
}

// A client with more lanes than there is room for is shown with the worst.
func TestEncodedClientIsBounded(t *testing.T) {
	v := &survey.Client{ID: "x"}
	for i := range 10_000 {
		v.AddLane(survey.Lane{Topic: fmt.Sprint("topic ", i), OldestMs: int64(i), Depth: 1})
	}
	e, err := survey.Encode(v, top.Rank{})
	var got survey.Client
	if err == nil {
		err = json.Unmarshal(e.JSON, &got)
	}
	if err != nil || len(e.JSON) > survey.ClientBytes || len(got.Lanes) < 500 || len(got.Lanes)+got.LanesLeftOut != 10_000 || got.Lanes[0].Topic != "topic 9999" || got.Depth != 10_000 {
		t.Errorf("%d bytes, %d lanes and %d left out, %v", len(e.JSON), len(got.Lanes), got.LanesLeftOut, err)
	}
}

func FuzzParsePage(f *testing.F) {
	f.Add(survey.AppendPage(nil, pageOf(f, 3), 1<<20), 10)
	f.Add(survey.AppendPage(nil, pageOf(f, 3), 100), 1)
	f.Add([]byte{1, 0, 0, 0, 1}, 0)
	f.Add([]byte{1, 0, 0, 0, 0, 2, 255, 255, 255, 255, 15}, 5)
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		p, err := survey.ParsePage(b, most)
		if err != nil {
			return
		}
		if len(p.Clients) > max(most, 0) {
			t.Errorf("%d clients of at most %d", len(p.Clients), most)
		}
		again, err := survey.ParsePage(survey.AppendPage(nil, &p, 1<<30), most)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v becomes %+v, %v", p, again, err)
		}
		for _, c := range p.Clients {
			if !bytes.Contains(b, c.JSON) {
				t.Error("a client is not from there")
			}
		}
	})
}

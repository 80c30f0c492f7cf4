package nodes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/streamweir/weir/internal/nodes"
)

// hall carries questions and answers between nodes.
type hall struct {
	all    map[string]*nodes.Questions
	begins map[string]nodes.Begin
	held   int
	full   bool
}

func newHall() *hall {
	return &hall{all: make(map[string]*nodes.Questions), begins: make(map[string]nodes.Begin)}
}

func (h *hall) enter(id string, answer func(context.Context, []byte) []byte) {
	h.begins[id] = func(_ string, asked []byte) func(context.Context, int) []byte {
		if answer == nil {
			return nil
		}
		return func(ctx context.Context, _ int) []byte { return answer(ctx, asked) }
	}
	h.all[id] = nodes.NewQuestions(id, nodes.QuestionOptions{
		Send: func(_ context.Context, to string, data []byte) error {
			h.all[to].HearAnswer(data)
			return nil
		},
		Hold:  func(n int) { h.held += n },
		Claim: func(n int) bool { h.held += n; return !h.full },
	})
}

// ask is a question of me.
func (h *hall) ask(ctx context.Context, of []nodes.Node, data string) (answers []nodes.Answer, missing []nodes.Node, err error) {
	missing, err = h.all["me"].Ask(ctx, nodes.Question{
		Of: of, Data: []byte(data),
		Send: func(_ context.Context, data []byte) error {
			for id, q := range h.all {
				q.Hear(data, h.begins[id])
			}
			return nil
		},
		Use: func(list []nodes.Answer) { answers = list },
	})
	return answers, missing, err
}

func (h *hall) close() {
	for _, q := range h.all {
		q.Close()
	}
}

func named(ids ...string) (list []nodes.Node) {
	for _, id := range ids {
		list = append(list, nodes.Node{ID: id})
	}
	return list
}

func echo(id string) func(context.Context, []byte) []byte {
	return func(_ context.Context, asked []byte) []byte { return append([]byte(id+" "), asked...) }
}

// Whoever is asked answers, and who has not by the end is named: for want of time, because it is gone, or because its
// answers are too large. What comes later, or twice, or from a stranger, changes nothing.
func TestAnswersNameWhoIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall()
		h.enter("me", echo("me"))
		h.enter("a", echo("a"))
		h.enter("b", echo("b"))
		h.enter("mute", func(ctx context.Context, _ []byte) []byte { <-ctx.Done(); return nil })
		h.enter("large", func(context.Context, []byte) []byte { return make([]byte, 5<<20) })
		h.enter("dumb", nil)
		defer h.close()
		me := h.all["me"]
		answers, missing, err := h.ask(t.Context(), named("a", "b"), "how")
		if err != nil || len(missing) != 0 || len(answers) != 2 {
			t.Errorf("%v, %v, %v", answers, missing, err)
		}
		for _, a := range answers {
			if string(a.Data) != a.Node.ID+" how" {
				t.Errorf("%s answers %q", a.Node.ID, a.Data)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answers, missing, err = h.ask(ctx, named("a", "mute", "large", "dumb", "nobody"), "")
		if err != nil || len(answers) != 1 || fmt.Sprint(missing) != fmt.Sprint(named("mute", "large", "dumb", "nobody")) {
			t.Errorf("%d answers, missing %v, %v", len(answers), missing, err)
		}
		go func() {
			time.Sleep(time.Second)
			me.Gone(nodes.Node{ID: "nobody"})
			me.Gone(nodes.Node{ID: "nobody"})
			me.Gone(nodes.Node{ID: "stranger"})
		}()
		if answers, missing, _ = h.ask(t.Context(), named("a", "nobody"), ""); len(answers) != 1 || fmt.Sprint(missing) != fmt.Sprint(named("nobody")) {
			t.Errorf("a node that goes: %d answers, missing %v", len(answers), missing)
		}
		if h.held != 0 {
			t.Errorf("%d bytes of answers are held", h.held)
		}
		for _, none := range []string{"large", "dumb"} { // which is told at once
			if answers, missing, _ = h.ask(t.Context(), named(none), ""); len(answers) != 0 || len(missing) != 1 {
				t.Errorf("%s: %d answers, missing %v", none, len(answers), missing)
			}
		}
		h.full = true
		if answers, missing, _ = h.ask(t.Context(), named("a"), ""); len(answers) != 0 || len(missing) != 1 {
			t.Errorf("without memory for it: %d answers, missing %v", len(answers), missing)
		}
	})
}

// Nobody waits for longer than a minute, however much time there would be.
func TestAMinuteInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall()
		h.enter("me", nil)
		h.enter("mute", func(ctx context.Context, _ []byte) []byte { <-ctx.Done(); return nil })
		defer h.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		_, missing, err := h.ask(ctx, named("mute"), "")
		if took := time.Since(began); took != nodes.Patience || len(missing) != 1 || err != nil {
			t.Errorf("it waited for %s: missing %v, %v", took, missing, err)
		}
	})
}

// What was asked is let go of as soon as it was begun, however long its answer takes.
func TestWhatWasAskedIsNotKept(t *testing.T) {
	h := newHall()
	h.enter("me", nil)
	defer h.close()
	begun, ended := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var asked weak.Pointer[byte]
	there := nodes.NewQuestions("there", nodes.QuestionOptions{Send: func(context.Context, string, []byte) error { return nil }})
	defer there.Close()
	go func() {
		defer close(ended)
		_, _ = h.all["me"].Ask(ctx, nodes.Question{
			Of: named("there"), Data: make([]byte, 1<<20), Use: func([]nodes.Answer) {},
			Send: func(_ context.Context, data []byte) error {
				data = bytes.Clone(data) // as it comes from the broker
				asked = weak.Make(&data[0])
				there.Hear(data, func(string, []byte) func(context.Context, int) []byte {
					return func(ctx context.Context, _ int) []byte {
						close(begun)
						<-ctx.Done()
						return nil
					}
				})
				return nil
			},
		})
	}()
	<-begun
	for range 100 {
		if runtime.GC(); asked.Value() == nil {
			break
		}
	}
	if asked.Value() != nil {
		t.Error("the question is kept while its answer is waited for")
	}
	cancel()
	<-ended
}

// Questions are bounded: those that wait for answers, and those that are answered at a time; who leaves waits for nobody.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall()
		at, dropped := 0, 0
		h.enter("me", nil)
		h.enter("busy", func(ctx context.Context, _ []byte) []byte {
			if ctx.Err() != nil {
				dropped++
				return nil
			}
			at++
			<-ctx.Done()
			return nil
		})
		ended := make(chan error, 2000)
		for range 1024 {
			go func() {
				_, _, err := h.ask(t.Context(), named("busy"), "")
				ended <- err
			}()
			synctest.Wait()
		}
		if _, _, err := h.ask(t.Context(), named("busy"), ""); !errors.Is(err, nodes.ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		if at != 64 || dropped != 1024-64 {
			t.Errorf("%d are answered at the same time, %d were let go of", at, dropped)
		}
		h.close()
		for range 1024 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzQuestion: whatever comes as a question or an answer, nothing breaks, and nothing is answered that was not asked.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte{1, 3, 1, 'a', 1, 10, 0, 'x'})
	f.Add([]byte{1, 3, 1, 'a', 1, 10, 5, 'x'})
	f.Add([]byte{1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		q := nodes.NewQuestions("me", nodes.QuestionOptions{
			Send: func(_ context.Context, _ string, answer []byte) error {
				if len(answer) > len(data)+16 {
					t.Errorf("%q is answered by %d bytes", data, len(answer))
				}
				return nil
			},
			Hold:  func(int) { t.Error("something is held") },
			Claim: func(int) bool { t.Error("something is held"); return true },
		})
		q.Hear(data, func(_ string, asked []byte) func(context.Context, int) []byte {
			return func(context.Context, int) []byte { return asked }
		})
		q.HearAnswer(data)
		q.Close()
	})
}

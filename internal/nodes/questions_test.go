package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/nodes"
)

// hall carries questions and answers between nodes.
type hall struct {
	all  map[string]*nodes.Questions
	held int
}

func (h *hall) enter(id string, answer func(context.Context, []byte) []byte) {
	h.all[id] = nodes.NewQuestions(id, nodes.QuestionOptions{
		Send: func(_ context.Context, to string, data []byte) error {
			if to != "" {
				h.all[to].HearAnswer(data)
				return nil
			}
			for _, q := range h.all {
				q.HearQuestion(data)
			}
			return nil
		},
		Answer: answer,
		Hold:   func(n int) { h.held += n },
	})
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
		h := &hall{all: make(map[string]*nodes.Questions)}
		h.enter("me", echo("me"))
		h.enter("a", echo("a"))
		h.enter("b", echo("b"))
		h.enter("mute", func(ctx context.Context, _ []byte) []byte { <-ctx.Done(); return nil })
		h.enter("large", func(context.Context, []byte) []byte { return make([]byte, 65<<20) })
		defer h.close()
		me := h.all["me"]
		answers, missing, err := me.Ask(t.Context(), named("a", "b"), []byte("how"))
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
		answers, missing, err = me.Ask(ctx, named("a", "mute", "large", "nobody"), nil)
		if err != nil || len(answers) != 1 || fmt.Sprint(missing) != fmt.Sprint(named("mute", "large", "nobody")) {
			t.Errorf("%d answers, missing %v, %v", len(answers), missing, err)
		}
		go func() {
			time.Sleep(time.Second)
			me.Gone(nodes.Node{ID: "nobody"})
			me.Gone(nodes.Node{ID: "nobody"})
			me.Gone(nodes.Node{ID: "stranger"})
		}()
		if answers, missing, _ = me.Ask(t.Context(), named("a", "nobody"), nil); len(answers) != 1 || fmt.Sprint(missing) != fmt.Sprint(named("nobody")) {
			t.Errorf("a node that goes: %d answers, missing %v", len(answers), missing)
		}
		if h.held != 0 {
			t.Errorf("%d bytes of answers are held", h.held)
		}
	})
}

// Questions are bounded: those that wait for answers, and those that are answered at a time; who leaves waits for nobody.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hall{all: make(map[string]*nodes.Questions)}
		at := 0
		h.enter("me", nil)
		h.enter("busy", func(ctx context.Context, _ []byte) []byte { at++; <-ctx.Done(); return nil })
		ended := make(chan error, 2000)
		for range 1024 {
			go func() {
				_, _, err := h.all["me"].Ask(t.Context(), named("busy"), nil)
				ended <- err
			}()
			synctest.Wait()
		}
		if _, _, err := h.all["me"].Ask(t.Context(), named("busy"), nil); !errors.Is(err, nodes.ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		if at != 64 {
			t.Errorf("%d are answered at the same time", at)
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
	f.Add([]byte{1, 3, 1, 'a', 1, 10, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		q := nodes.NewQuestions("me", nodes.QuestionOptions{
			Send:   func(context.Context, string, []byte) error { return nil },
			Answer: func(_ context.Context, asked []byte) []byte { return asked },
			Hold:   func(int) { t.Error("something is held") },
		})
		q.HearQuestion(data)
		q.HearAnswer(data)
		q.Close()
	})
}

package loadtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// AgentCommand is what the program is started with to be an agent, after its own name. Whoever links this package
// has to run RunAgent then.
var AgentCommand = []string{"bench", "agent"}

// agents is a fleet in other processes.
type agents struct {
	procs     []*process
	delivered chan int64

	mu     sync.Mutex
	groups []string // in order of being added
	heard  []int64  // by process that has readers: what Delivered said last
}

// process is an agent as its parent sees it. One goroutine asks; another, loop, reads what it says.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	stderr  *tailWriter
	answers chan response
	fleet   *agents
	groups  map[string]bool // it has clients of; the asker's
	reader  int             // index in fleet.heard, -1 without readers; guarded by fleet.mu
	done    chan struct{}
}

// startAgents starts n agents, which are ready when it returns.
func startAgents(n int, spec swarm.Spec) (*agents, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to start it as an agent: %w", err)
	}
	a := &agents{delivered: make(chan int64, 1)}
	for range n {
		p, err := a.start(exec.Command(program, AgentCommand...))
		if err == nil {
			a.procs = append(a.procs, p)
			_, err = p.ask(request{Spec: &spec})
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start agent %d of %d: %w", len(a.procs), n, err), a.Close())
		}
	}
	return a, nil
}

func (a *agents) start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, fleet: a, groups: map[string]bool{}, reader: -1, stderr: &tailWriter{}, answers: make(chan response, 1), done: make(chan struct{})}
	cmd.Stderr = p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 1<<16)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.loop()
	return p, nil
}

// loop reads what the agent says; it ends with the agent.
func (p *process) loop() {
	defer close(p.done)
	defer close(p.answers)
	lines := json.NewDecoder(p.out)
	for {
		var r response
		if lines.Decode(&r) != nil {
			return // the agent is gone: whoever asks next is told
		}
		if r.Delivered != nil {
			p.fleet.hear(p, *r.Delivered)
		}
		if r.Done {
			p.answers <- r
		}
	}
}

// ask sends a request and waits for its answer.
func (p *process) ask(r request) (response, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return response{}, fmt.Errorf("encode a request: %w", err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return response{}, p.gone(err)
	}
	answer, ok := <-p.answers
	if !ok {
		return response{}, p.gone(io.ErrUnexpectedEOF)
	}
	if answer.Error != "" {
		return response{}, errors.New(answer.Error)
	}
	return answer, nil
}

func (p *process) gone(err error) error {
	return fmt.Errorf("agent %d has ended: %w%s", p.cmd.Process.Pid, err, p.stderr.quoted())
}

func (a *agents) Do(o order) error {
	if o.Add == nil {
		return a.each(func(i int) request {
			if !a.procs[i].groups[o.group()] {
				return request{}
			}
			return request{Order: &o}
		})
	}
	a.mu.Lock()
	a.groups = append(a.groups, o.Add.Name)
	for i, p := range a.procs {
		if p.reader < 0 && o.Add.ReadRate == 0 && share(o.Add.Clients, i, len(a.procs)) > 0 {
			p.reader = len(a.heard)
			a.heard = append(a.heard, unheard)
		}
	}
	a.mu.Unlock()
	return a.each(func(i int) request {
		g := part(*o.Add, i, len(a.procs))
		if g.Clients == 0 {
			return request{}
		}
		a.procs[i].groups[g.Name] = true
		return request{Order: &order{Add: &g}}
	})
}

// each asks every agent what of returns for it; an empty request is left out.
func (a *agents) each(of func(i int) request) error {
	for i, p := range a.procs {
		r := of(i)
		if r == (request{}) {
			continue
		}
		if _, err := p.ask(r); err != nil {
			return err
		}
	}
	return nil
}

// Snapshot merges what the agents' groups have counted.
func (a *agents) Snapshot() ([]swarm.Snapshot, error) {
	merged := map[string]*swarm.Snapshot{}
	for _, p := range a.procs {
		answer, err := p.ask(request{Snapshot: true})
		if err != nil {
			return nil, err
		}
		for _, s := range answer.Snapshot {
			if merged[s.Group] == nil {
				merged[s.Group] = &swarm.Snapshot{}
			}
			swarm.Merge(merged[s.Group], s)
		}
	}
	var all []swarm.Snapshot
	for _, name := range a.groups {
		if s := merged[name]; s != nil {
			all = append(all, *s)
		}
	}
	return all, nil
}

// hear takes what one agent's clients have, and passes on what all have.
func (a *agents) hear(p *process, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.reader < 0 {
		return
	}
	a.heard[p.reader] = n
	if least, ok := lowest(a.heard); ok {
		offer(a.delivered, least)
	}
}

func (a *agents) Delivered() <-chan int64 { return a.delivered }

// agentsEnd is how long agents may take to end by themselves.
const agentsEnd = 10 * time.Second

// Close ends the agents, waits for them and returns what went wrong.
func (a *agents) Close() error {
	var problems []error
	for _, p := range a.procs {
		_ = p.in.Close() // which ends it
	}
	for _, p := range a.procs {
		timer := time.AfterFunc(agentsEnd, func() { _ = p.cmd.Process.Kill() })
		<-p.done // all of its stdout is read: Wait may close it
		err := p.cmd.Wait()
		timer.Stop()
		if err != nil {
			problems = append(problems, fmt.Errorf("agent %d: %w%s", p.cmd.Process.Pid, err, p.stderr.quoted()))
		}
	}
	return errors.Join(problems...)
}

// tailWriter keeps the last of what an agent says on stderr.
type tailWriter struct {
	mu   sync.Mutex
	last []byte
}

const tailKept = 500

func (t *tailWriter) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if over := len(t.last) - tailKept; over > 0 {
		t.last = append([]byte(nil), t.last[over:]...)
	}
	return len(b), nil
}

func (t *tailWriter) quoted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) == 0 {
		return ""
	}
	return fmt.Sprintf(": it said %q", t.last)
}

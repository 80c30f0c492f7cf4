package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/internal/loadtest/report"
)

// message is what post and batch publish: to a topic without subscribers, with a payload of 128 bytes.
var message = `{"namespace":"/feed","topic":"tick","payload":"` + strings.Repeat("p", 126) + `"}`

// answerPatience is how long a server may say nothing.
const answerPatience = 10 * time.Second

// post has each client post the message again as soon as it is answered, for p.duration. It is one thread with an
// epoll that makes a read and a write for a request, and looks in an answer only for its status and how long it is: less
// than net/http does on the other side, so that the server is what is full. Any answer but 200 is an error.
func post(p plan) (*report.Run, error) {
	ps, err := newPosters(p)
	if err != nil {
		return nil, err
	}
	defer ps.close()
	if err := ps.until(time.Now().Add(warmUp)); err != nil {
		return nil, err
	}
	ps.answers, ps.bytes = 0, 0
	m, err := startMeter(p.pid)
	if err != nil {
		return nil, err
	}
	if err := ps.until(m.started.Add(p.duration)); err != nil {
		return nil, err
	}
	run, err := m.run("request", ps.answers)
	if err != nil {
		return nil, err
	}
	run.Scenario, run.Target = "post", "http://"+p.to+"/api/publish"
	run.Title = fmt.Sprintf("%d clients, each with one POST of %d B under way", p.clients, len(message))
	run.Figures = append(run.Figures, report.Figure{Name: "bytes of an answer", Value: float64(ps.bytes) / float64(ps.answers), Unit: "B"})
	return run, nil
}

// posters are the clients.
type posters struct {
	*poller
	fds            []int
	request        []byte
	parts          map[int][]byte // of answers that have not come whole, by descriptor
	buffer         []byte
	heard          time.Time // when the last answer came
	answers, bytes int
}

func newPosters(p plan) (*posters, error) {
	at, err := net.ResolveTCPAddr("tcp4", p.to)
	if err != nil {
		return nil, fmt.Errorf("-to: %w", err)
	}
	to := &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}
	e, err := newPoller()
	if err != nil {
		return nil, err
	}
	ps := &posters{
		poller: e, parts: map[int][]byte{}, buffer: make([]byte, 64<<10), heard: time.Now(),
		request: fmt.Appendf(nil, "POST /api/publish HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			p.to, len(message), message),
	}
	for i := range p.clients {
		fd, err := dial(to, i)
		if err == nil {
			ps.fds = append(ps.fds, fd)
			err = errors.Join(e.add(fd), ps.ask(fd))
		}
		if err != nil {
			ps.close()
			return nil, err
		}
	}
	return ps, nil
}

func (ps *posters) close() {
	closeAll(ps.fds)
	ps.poller.close()
}

func (ps *posters) ask(fd int) error {
	if n, err := unix.Write(fd, ps.request); n != len(ps.request) {
		return fmt.Errorf("post: %d of %d bytes written: %w", n, len(ps.request), err)
	}
	return nil
}

// until asks and is answered until then.
func (ps *posters) until(end time.Time) error {
	for now := time.Now(); now.Before(end); now = time.Now() {
		ready, err := ps.wait(100)
		if err != nil {
			return err
		}
		if len(ready) > 0 {
			ps.heard = now
		} else if now.Sub(ps.heard) > answerPatience {
			return fmt.Errorf("post: no answer for %v", answerPatience)
		}
		for _, event := range ready {
			if err := ps.read(int(event.Fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// read takes what has come of an answer, and asks again after all of it.
func (ps *posters) read(fd int) error {
	n, err := unix.Read(fd, ps.buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if n <= 0 {
		return fmt.Errorf("post: the server has closed a connection (%w)", err)
	}
	got := ps.buffer[:n]
	if part := ps.parts[fd]; len(part) > 0 {
		got = append(part, got...)
	}
	size, err := answerSize(got)
	if err != nil {
		return err
	}
	if size == 0 || len(got) < size {
		ps.parts[fd] = bytes.Clone(got)
		return nil
	}
	if len(got) > size {
		return fmt.Errorf("post: %d bytes behind an answer: %.300q", len(got)-size, got)
	}
	delete(ps.parts, fd)
	ps.answers, ps.bytes = ps.answers+1, ps.bytes+size
	return ps.ask(fd)
}

var (
	status200  = []byte("HTTP/1.1 200 ")
	headEnd    = []byte("\r\n\r\n")
	lengthName = []byte("\r\nContent-Length: ")
)

// answerSize is how many bytes an answer has, by its head; 0 while that has not come whole.
func answerSize(b []byte) (int, error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(b, status200) {
		return 0, fmt.Errorf("post: answered %.300q", b)
	}
	_, length, found := bytes.Cut(b[:end+2], lengthName)
	line, _, _ := bytes.Cut(length, headEnd[:2])
	n, err := strconv.Atoi(string(line))
	if !found || err != nil || n < 0 {
		return 0, fmt.Errorf("post: an answer without a length: %.300q", b)
	}
	return end + len(headEnd) + n, nil
}

// meter is a time, and what this process and the server use in it.
type meter struct {
	started     time.Time
	own, server time.Duration // before
	pid         int           // of the server; 0: it is not looked at
}

func startMeter(pid int) (*meter, error) {
	m := &meter{pid: pid}
	var err error
	m.own, m.server, err = m.used()
	m.started = time.Now()
	return m, err
}

func (m *meter) used() (own, server time.Duration, err error) {
	if m.pid != 0 {
		u, err := rig.ReadUsage(m.pid)
		if err != nil {
			return 0, 0, err
		}
		server = u.CPU
	}
	own, err = processTime()
	return own, server, err
}

// run is a result: n of something, from the start until now. Shares are of one core, whatever the processes had.
func (m *meter) run(what string, n int) (*report.Run, error) {
	took := time.Since(m.started)
	own, server, err := m.used()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: none in %v (process %d)", what, took, os.Getpid())
	}
	share := func(cpu time.Duration) float64 { return 100 * cpu.Seconds() / took.Seconds() }
	r := &report.Run{Started: m.started, Seconds: took.Seconds(), Figures: []report.Figure{
		{Name: what + "s/s", Value: float64(n) / took.Seconds(), Unit: "/s", Main: true},
		{Name: "load tool, share of its core", Value: share(own - m.own), Unit: "%"},
	}}
	if m.pid != 0 {
		r.Figures = append(r.Figures,
			report.Figure{Name: "server CPU per " + what, Value: float64((server - m.server).Nanoseconds()) / 1e3 / float64(n), Unit: "us"},
			report.Figure{Name: "server, share of its core", Value: share(server - m.server), Unit: "%"})
	}
	return r, nil
}

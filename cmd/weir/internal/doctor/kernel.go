package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// The bounds of what is wanted of the listen queue: a hundredth of the connections, which is what comes in some
// milliseconds after a restart.
const (
	leastBacklog = 4096
	mostBacklog  = 65535
)

func wantedBacklog(n Needs) int { return min(max(n.Connections/100, leastBacklog), mostBacklog) }

// backlog is how many connections may wait to be accepted.
func backlog(m Machine, n Needs) Finding {
	const name = "net.core.somaxconn"
	want := wantedBacklog(n)
	f := Finding{
		Name:   name,
		Wanted: fmt.Sprintf("%s or more", count(want)),
		Why: "When all clients reconnect at once, those beyond this queue are dropped without an answer and try again only a second later. " +
			"It is read when the server starts to listen: restart after a change.",
		Fix: setSysctl(name, fmt.Sprint(want)),
	}
	have, err := m.number(sysctl(name))
	if err != nil {
		return f.unknown(err)
	}
	if have < int64(want) {
		return f.at(Warn, "%s", count(have))
	}
	return f.at(OK, "%s", count(have))
}

// synBacklog is how many handshakes may be under way. With SYN cookies the kernel does not go by it.
func synBacklog(m Machine, n Needs) Finding {
	const name = "net.ipv4.tcp_max_syn_backlog"
	want := wantedBacklog(n)
	f := Finding{
		Name:   name,
		Wanted: fmt.Sprintf("%s or more, or SYN cookies", count(want)),
		Why:    "Without SYN cookies the kernel drops handshakes of clients it does not know once three quarters of this are under way.",
		Fix:    setSysctl(name, fmt.Sprint(want)),
	}
	have, err := m.number(sysctl(name))
	if err != nil {
		return f.unknown(err)
	}
	if have >= int64(want) {
		return f.at(OK, "%s", count(have))
	}
	cookies, err := m.number(sysctl("net.ipv4.tcp_syncookies"))
	switch {
	case errors.Is(err, fs.ErrNotExist): // a kernel built without them
		return f.at(Warn, "%s, no SYN cookies", count(have))
	case err != nil:
		return f.unknown(err)
	case cookies == 0:
		return f.at(Warn, "%s, SYN cookies off", count(have))
	}
	return f.at(OK, "%s, SYN cookies on", count(have))
}

// mostPorts is as many ports as are asked for: about what lies above those that servers usually listen on.
const mostPorts = 50_000

// ports looks at the range outgoing connections take their ports from.
func ports(m Machine, n Needs) Finding {
	const name = "net.ipv4.ip_local_port_range"
	want := min(n.Connections, mostPorts)
	f := Finding{
		Name:   name,
		Wanted: fmt.Sprintf("%s ports or more, none that Weir listens on", count(want)),
		Why: "A proxy or load tool on this machine needs a port for each connection to one address of Weir: beyond the range, list the server " +
			"by several addresses. A port that Weir listens on and that lies in the range may be taken by somebody's outgoing connection when it starts.",
		Fix: setSysctl(name, "10240 65535"),
	}
	span, err := m.numbers(sysctl(name), 2)
	if err != nil {
		return f.unknown(err)
	}
	have := span[1] - span[0] + 1
	found := fmt.Sprintf("%d to %d, %s ports", span[0], span[1], count(have))
	reserved, err := m.reserved()
	if err != nil {
		return f.unknown(err)
	}
	if taken := slices.DeleteFunc(slices.Clone(n.Ports), func(p int) bool {
		return int64(p) < span[0] || int64(p) > span[1] || reserved(p)
	}); len(taken) > 0 {
		list := strings.ReplaceAll(strings.Trim(fmt.Sprint(taken), "[]"), " ", ",")
		f.Fix = fmt.Sprintf("sudo sysctl -w net.ipv4.ip_local_reserved_ports=%s   (to stay: a file under /etc/sysctl.d)", list)
		return f.at(Warn, "%s, among them %s of this configuration", found, list)
	}
	if have < int64(want) {
		return f.at(Warn, "%s", found)
	}
	return f.at(OK, "%s", found)
}

// reserved tells which ports are not given to outgoing connections: "3000,9393-9400".
func (m Machine) reserved() (func(port int) bool, error) {
	const path = "proc/sys/net/ipv4/ip_local_reserved_ports"
	text, err := m.text(path)
	if err != nil {
		return nil, err
	}
	type span struct{ from, to int }
	var spans []span
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' }) {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("read /%s: %q is not a list of ports", path, text)
		}
		spans = append(spans, span{from, to})
	}
	return func(port int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.from <= port && port <= s.to })
	}, nil
}

// conntrack looks at the firewall's table of connections, where it keeps one.
func conntrack(m Machine, n Needs) Finding {
	const name = "net.netfilter.nf_conntrack_max"
	const established = "net.netfilter.nf_conntrack_tcp_timeout_established"
	f := Finding{
		Name: "nf_conntrack",
		Why: "A firewall that keeps state has an entry for each connection, also for those that ended a while ago. When the table is full, " +
			"packets of new connections are dropped; an entry that expires cuts a quiet client.",
	}
	limit, err := m.number(sysctl(name))
	switch {
	case errors.Is(err, fs.ErrNotExist) && m.has("proc/sys/net"):
		f.Wanted = "not loaded, or large enough"
		return f.at(OK, "not loaded")
	case err != nil:
		return f.unknown(err)
	}
	used, err := m.number(sysctl("net.netfilter.nf_conntrack_count"))
	if err != nil {
		return f.unknown(err)
	}
	seconds, err := m.number(sysctl(established))
	if err != nil {
		return f.unknown(err)
	}
	want, least := 2*int64(n.Connections), int64(n.Connections)
	f.Wanted = fmt.Sprintf("room for %s: twice the connections", count(want))
	f.Fix = setSysctl(name, fmt.Sprint(want+used))
	found := fmt.Sprintf("room for %s, %s in use", count(limit), count(used))
	switch quiet := int64(n.PingInterval.Seconds()); {
	case limit < least:
		return f.at(n.worst(), "%s", found)
	case seconds <= quiet:
		f.Wanted = fmt.Sprintf("entries that live longer than pingInterval, %d s", quiet)
		f.Fix = setSysctl(established, "432000")
		return f.at(Fail, "quiet connections are forgotten after %d s", seconds)
	case limit < want:
		return f.at(Warn, "%s", found)
	}
	return f.at(OK, "%s", found)
}

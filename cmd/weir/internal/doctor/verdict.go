package doctor

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// slowAnswer is above which an answer that has nothing to wait for was held up on the way.
const slowAnswer = 2 * time.Second

// judgeUpgrade is about the websocket.
func judgeUpgrade(a answer, host string) Finding {
	f := Finding{
		Name:   "proxy: websocket",
		Wanted: "101 and the open packet at once",
		Why:    "Without websockets every message costs requests, and clients begin with an upgrade that fails.",
		Fix: "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $http_host;   " +
			"others: pass on Upgrade, Connection and Host for " + host,
	}
	switch {
	case unserved(a):
		return f.at(OK, "the server does not serve websockets")
	case a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout:
		f.Fix = "start the server behind the proxy, and let the proxy reach it"
		return f.at(Fail, "%s", said(a))
	case a.status != http.StatusSwitchingProtocols:
		return f.at(Fail, "%s", said(a))
	case a.err != nil:
		f.Fix = "turn buffering off for this path (nginx: proxy_buffering off)"
		return f.at(Fail, "101, then no open packet: %v", a.err)
	case a.took > slowAnswer:
		return f.at(Warn, "101, the open packet after %.1f s", a.took.Seconds())
	}
	return f.at(OK, "101, the open packet after %d ms", a.took.Milliseconds())
}

// unserved is Engine.IO's answer to a transport that the server was told not to serve: as JSON, or, to an upgrade, as
// text.
func unserved(a answer) bool {
	return a.status == http.StatusBadRequest && strings.Contains(a.body, "Transport unknown")
}

// said is a status with the beginning of its body.
func said(a answer) string {
	text := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	if body := strings.Join(strings.Fields(a.body), " "); body != "" {
		text += fmt.Sprintf(": %.80s", body)
	}
	return text
}

// judgePolling is about the requests of long-polling.
func judgePolling(p polled) Finding {
	f := Finding{
		Name:   "proxy: polling",
		Wanted: "the open packet at once; a waiting GET is answered as soon as there is something to say",
		Why:    "Clients begin with polling, and those behind firewalls stay with it. A proxy that gathers answers makes them late.",
		Fix:    "nginx: proxy_buffering off; proxy_read_timeout 60s;   others: no buffering, a read time-out above pingInterval",
	}
	switch {
	case unserved(p.open):
		return f.at(OK, "the server does not serve polling")
	case p.open.err != nil:
		return f.at(Fail, "no open packet: %v", p.open.err)
	case p.open.status != http.StatusOK:
		return f.at(Fail, "%s", said(p.open))
	}
	for _, a := range []answer{p.post, p.wait} {
		switch {
		case strings.Contains(a.body, `"code":1`) && a.status == http.StatusBadRequest:
			f.Fix = "sticky sessions: nginx: ip_hash; or hash on the cookie of servers.NAME.socketio.cookie"
			return f.at(Fail, "the second request of a session reached another node: %s", said(a))
		case a.err != nil:
			return f.at(Fail, "the session stopped: %v", a.err)
		case a.status != http.StatusOK:
			return f.at(Fail, "the session stopped: %s", said(a))
		}
	}
	if took := max(p.open.took, p.wait.took); took > slowAnswer {
		return f.at(Warn, "an answer took %.1f s", took.Seconds())
	}
	return f.at(OK, "the open packet after %d ms, a waiting GET after %d ms", p.open.took.Milliseconds(), p.wait.took.Milliseconds())
}

// judgeOrigin is about pages that are served at the proxy's own address; listed says that origins are in the
// configuration.
func judgeOrigin(a answer, origin string, listed bool) Finding {
	f := Finding{
		Name:   "proxy: origin",
		Wanted: "pages of " + origin + " are let in",
		Why: "Browsers say where a page comes from. The server compares that with the Host it is asked for: a proxy that does not " +
			"pass it on makes every page a stranger's, which gets 403.",
		Fix: "nginx: proxy_set_header Host $http_host;   others: pass Host on, with its port; or list the page in servers.NAME.origins",
	}
	switch refused := a.status == http.StatusForbidden || a.status == http.StatusBadRequest && strings.Contains(a.body, "Forbidden"); {
	case a.err != nil:
		return f.unknown(a.err)
	case refused && listed:
		return f.at(Warn, "%s; those that origins lists are", said(a))
	case refused:
		return f.at(Fail, "%s", said(a))
	case a.status >= http.StatusInternalServerError || a.status == http.StatusNotFound:
		return f.at(Unknown, "%s", said(a))
	}
	return f.at(OK, "%d", a.status)
}

// idleFinding is what the last proxy check wants and why.
func idleFinding(interval time.Duration) Finding {
	return Finding{
		Name:   "proxy: idle",
		Wanted: fmt.Sprintf("connections that are silent for pingInterval, %v, stay open", interval),
		Why:    "Between two pings a quiet client hears nothing. A proxy with a shorter time-out cuts it each time, and it reconnects for ever.",
		Fix:    "a time-out above pingInterval + pingTimeout: nginx proxy_read_timeout, HAProxy timeout tunnel; or a shorter pingInterval",
	}
}

// judgeIdle is for who has waited: err is why no ping came or was answered.
func judgeIdle(interval time.Duration, err error, joined bool) Finding {
	f := idleFinding(interval)
	switch {
	case err == nil:
		return f.at(OK, "a ping came after %v of silence", interval)
	case interval == 0:
		return f.unknown(err)
	case !joined:
		return f.at(Unknown, "%v; but the server refused the namespace, and closes such sessions too", err)
	}
	return f.at(Fail, "%v", err)
}

// patience are the time-outs for silent connections of proxies that say who they are, as they come.
var patience = []struct {
	mark, setting string
	idle          time.Duration
}{
	{"nginx", "proxy_read_timeout", time.Minute},
	{"openresty", "proxy_read_timeout", time.Minute},
	{"apache", "ProxyTimeout", time.Minute},
	{"cloudflare", "its own, fixed", 100 * time.Second},
	{"envoy", "stream_idle_timeout", 5 * time.Minute},
}

// judgeHeaders is for who does not wait: by what stands in front, as far as it says.
func judgeHeaders(h http.Header, interval time.Duration) Finding {
	f := idleFinding(interval)
	f.Fix = "weir doctor --proxy URL --patient waits for a ping"
	name := strings.ToLower(h.Get("Server") + " " + h.Get("Via"))
	for _, p := range patience {
		if !strings.Contains(name, p.mark) {
			continue
		}
		if p.idle <= interval {
			f.Fix = fmt.Sprintf("raise %s above %v, or lower pingInterval", p.setting, interval)
			return f.at(Warn, "%s, which closes after %v unless told otherwise (%s)", p.mark, p.idle, p.setting)
		}
		return f.at(Unknown, "%s, which closes after %v unless told otherwise (%s): not tried", p.mark, p.idle, p.setting)
	}
	return f.at(Unknown, "not tried, and its answers do not say what it is")
}

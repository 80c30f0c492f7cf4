package config

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir"
)

// defaultHookHeaders are those of the key headers.
const defaultHookHeaders = "accept-language,authorization,cookie,origin,user-agent"

// idleHook refuses what says how a backend is asked, where there is none.
func (r *reader) idleHook(k *hookKeys) {
	for _, key := range []struct {
		name string
		set  bool
	}{
		{"secrets", len(k.Secrets) > 0},
		{"timeoutMs", k.Timeout != 5*time.Second},
		{"maxCalls", k.MaxCalls != 64},
		{"maxWaiting", k.MaxWaiting != 1000},
		{"maxAnswerBytes", k.MaxAnswerBytes != 64<<10},
		{"breakerCalls", k.BreakerCalls != 5},
		{"breakerPauseMs", k.BreakerPause != 5*time.Second},
		{"cacheMs", k.Cache != 0},
		{"cacheEntries", k.CacheEntries != 10_000},
		{"cacheBytes", k.CacheBytes != 16<<20},
		{"headers", strings.Join(k.Headers, ",") != defaultHookHeaders},
		{"caFile", k.CAFile != ""},
	} {
		if key.set {
			r.wrong("hooks."+key.name, "has no effect without hooks.connect")
		}
	}
}

// hooks are the application's backend, and how it is asked.
func (r *reader) hooks(k *hookKeys, d *document) (o weir.HookOptions) {
	const path = "hooks"
	if k.Connect == "" {
		r.idleHook(k)
		return o
	}
	asked := false
	for _, s := range d.Servers {
		asked = asked || s.Auth == "TOKEN"
	}
	if !asked {
		r.wrong(path+".connect", "nobody would be asked about: want auth: TOKEN in a server")
	}
	if u, err := url.Parse(k.Connect); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		r.warn(path+".connect", "is http:// to another machine: cookies and tokens of clients go over the network in the clear")
	}
	if len(k.Secrets) == 0 {
		r.wrong(path+".secrets", "is missing: requests are signed, 'openssl rand -base64 32' makes one")
	}
	if k.CAFile != "" {
		k.CAFile = r.fromHere(k.CAFile)
	}
	o = weir.HookOptions{
		Connect: k.Connect, Timeout: k.Timeout, MaxCalls: k.MaxCalls, MaxWaiting: k.MaxWaiting, MaxAnswerBytes: k.MaxAnswerBytes,
		BreakerCalls: k.BreakerCalls, BreakerPause: k.BreakerPause, CacheFor: k.Cache, CacheEntries: k.CacheEntries, CacheBytes: k.CacheBytes,
		Headers: append([]string{}, k.Headers...), CAFile: k.CAFile,
	}
	for i, text := range k.Secrets {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil {
			r.wrong(path+".secrets["+strconv.Itoa(i)+"]", "is not base64: 'openssl rand -base64 32' makes one")
		}
		o.Secrets = append(o.Secrets, secret)
	}
	return o
}

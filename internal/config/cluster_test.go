package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/config"
)

const clusterFile = `weir: 1
servers: {feed: {port: 0, namespaces: [{path: /feed, topics: [{name: orders, deliveryMode: AT_LEAST_ONCE, overflowAction: REJECT_NEW}]}]}}
cluster: `

func TestClusterKeysReachTheOptions(t *testing.T) {
	c := parse(t, clusterFile+"{broker: redis, redis: {url: 'redis://:secret@127.0.0.1:1/2', keyPrefix: other}, nodeName: n1, joinTimeoutMs: 7, logRecords: 50}", config.LoadOptions{})
	if o := c.Options.Cluster; o.Broker == nil || o.Node != "n1" || o.LogRecords != 50 || o.JoinTimeout != 7*time.Millisecond {
		t.Errorf("%+v", o)
	}
	for _, s := range c.Effective() {
		if strings.Contains(fmt.Sprint(s.Value), "secret") {
			t.Errorf("%s shows the password: %v", s.Path, s.Value)
		}
	}
	c = parse(t, clusterFile+"{broker: nats, nats: {url: 'nats://u:secret@127.0.0.1:1,tls://token@b', keyPrefix: other, replicas: 3}, nodeName: n1, joinTimeoutMs: 0}", config.LoadOptions{})
	if o := c.Options.Cluster; o.Broker == nil || o.JoinTimeout != weir.Off || o.Broker.(*nats.Broker).Addr() != "127.0.0.1:1, b" {
		t.Errorf("%+v", o)
	}
	for _, s := range c.Effective() {
		if strings.Contains(fmt.Sprint(s.Value), "secret") {
			t.Errorf("%s shows the password: %v", s.Path, s.Value)
		}
	}
	c = parse(t, clusterFile+"{broker: redis, redis: {url: 'redis://u:secret@/1', sentinel: {master: m, addresses: ['a:1', 'b:2'], username: u, password: secret}}}", config.LoadOptions{})
	if o := c.Options.Cluster; o.Broker == nil || o.Broker.(*redis.Broker).Addr() != "a:1, b:2" {
		t.Errorf("%+v", o)
	}
	for _, s := range c.Effective() {
		if strings.Contains(fmt.Sprint(s.Value), "secret") {
			t.Errorf("%s shows the password: %v", s.Path, s.Value)
		}
	}
	c = parse(t, clusterFile+"{broker: nats, nats: {embedded: true, storeDir: s, listen: ':6222', peers: ['a:1', 'b:1', 'c:1'], secret: a secret of sixteen}}", config.LoadOptions{})
	if o := c.Options.Cluster; o.Broker == nil || o.JoinTimeout != weir.Off {
		t.Errorf("%+v", o)
	}
	for _, s := range c.Effective() {
		if strings.Contains(fmt.Sprint(s.Value), "secret of") {
			t.Errorf("%s shows the secret: %v", s.Path, s.Value)
		}
	}
	if c := parse(t, clusterFile+"{broker: memory}", config.LoadOptions{}); c.Options.Cluster.Broker != nil {
		t.Error("one node has a broker")
	}
}

func TestClusterKeysAreRefused(t *testing.T) {
	for _, c := range []struct{ cluster, want string }{
		{"{broker: kafka}", "cluster.broker"},
		{"{broker: redis}", "cluster.redis.url: is missing"},
		{"{broker: redis, redis: {url: 'http://x'}}", "cluster.redis.url: want redis://"},
		{"{broker: redis, redis: {url: 'redis://x:1', keyPrefix: '{a}'}}", "cluster.redis.keyPrefix: "},
		{"{broker: redis, redis: {url: 'redis://x:1', sentinel: {master: m, addresses: ['a:1']}}}", "cluster.redis.url: has a server, which the sentinels are to find"},
		{"{broker: redis, redis: {sentinel: {addresses: ['a:1']}}}", "cluster.redis.sentinel.master: is missing"},
		{"{broker: redis, redis: {sentinel: {master: m}}}", "cluster.redis.sentinel.addresses: is missing"},
		{"{broker: redis, redis: {sentinel: {master: m, addresses: [a]}}}", "cluster.redis.sentinel.addresses: \"a\": want host:port"},
		{"{broker: nats, nats: {url: 'nats://x:1'}, redis: {sentinel: {master: m}}}", "cluster.redis.sentinel: has no effect with broker nats"},
		{"{broker: redis, redis: {url: 'redis://x:1'}, logRecords: 0}", "cluster.logRecords"},
		{"{logRecords: 7}", "cluster.logRecords: has no effect with broker memory"},
		{"{redis: {url: 'redis://x:1'}}", "cluster.redis.url: has no effect with broker memory"},
		{"{broker: nats}", "cluster.nats.url: is missing"},
		{"{broker: nats, nats: {embedded: true}}", "cluster.nats.storeDir: is missing"},
		{"{broker: nats, nats: {embedded: true, storeDir: s, peers: ['a:1']}, logRecords: 0}", "cluster.logRecords"},
		{"{broker: nats, nats: {embedded: true, storeDir: s, peers: ['a:1', 'b:1']}}", "cluster.nats.peers: 2: want all"},
		{"{broker: nats, nats: {embedded: true, storeDir: s, listen: ':6222', peers: ['a:1', 'b:1', 'c:1']}}", "cluster.nats.secret: of 0 bytes"},
		{"{broker: nats, nats: {embedded: true, storeDir: s, url: 'nats://x:1'}}", "cluster.nats.url: has no effect with embedded: true"},
		{"{broker: nats, nats: {url: 'nats://x:1', peers: ['a:1']}}", "cluster.nats.peers: has no effect with embedded: false"},
		{"{nats: {embedded: true, storeDir: s}}", "cluster.nats.embedded: has no effect with broker memory"},
		{"{broker: nats, nats: {url: 'redis://x:1'}}", "cluster.nats.url: want nats://"},
		{"{broker: nats, nats: {url: 'nats://x:1', keyPrefix: a.b}}", "cluster.nats.keyPrefix: want letters"},
		{"{broker: nats, nats: {url: 'nats://x:1', replicas: 2}}", "cluster.nats.replicas: 2: want 1, 3 or 5"},
		{"{broker: nats, nats: {url: 'nats://x:1', credentials: none.creds}}", "cluster.nats.credentials: open none.creds: no such file"},
		{"{broker: nats, nats: {url: 'nats://x:1', credentials: cluster_test.go}}", "cluster.nats.credentials: cluster_test.go: want a user's token and key"},
		{"{broker: nats, nats: {url: 'nats://x:1'}, redis: {keyPrefix: a}}", "cluster.redis.keyPrefix: has no effect with broker nats"},
		{"{broker: redis, redis: {url: 'redis://x:1'}, nats: {replicas: 1}}", "cluster.nats.replicas: has no effect with broker redis"},
		{"{broker: redis, redis: {url: 'redis://x:1'}}\njournal: {path: /tmp/x}\nservers: {a: {port: 0, namespaces: [{path: /a, topics: [{name: t, overflowAction: SPILL_TO_DISK}]}]}}", "SPILL_TO_DISK and Retention are not to be had together with"},
	} {
		file := clusterFile + c.cluster
		if strings.Contains(c.cluster, "servers:") {
			file = "weir: 1\ncluster: " + c.cluster
		}
		if _, err := config.Parse("weir.yaml", []byte(file), config.LoadOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.cluster, err, c.want)
		}
	}
}

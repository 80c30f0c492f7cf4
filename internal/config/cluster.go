package config

import (
	"strings"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/cluster/nats/embedded"
	"github.com/streamweir/weir/cluster/redis"
)

type clusterKeys struct {
	Broker     string        `key:"broker" default:"memory" enum:"memory,redis,nats" doc:"what joins nodes: memory is one node, nothing needed; redis a Redis server of version 7 or later; nats NATS servers of version 2.12 or later with JetStream"`
	Redis      redisKeys     `key:"redis" doc:"the Redis server of broker redis"`
	NATS       natsKeys      `key:"nats" doc:"the NATS servers of broker nats"`
	NodeName   string        `key:"nodeName" default:"" doc:"names this node to the broker and in the log; empty: the host's name"`
	Join       time.Duration `key:"joinTimeoutMs" default:"10000" min:"0" doc:"how long a start waits for the broker; 0: as long as it takes"`
	LogRecords int           `key:"logRecords" default:"10000" min:"1" max:"1000000" doc:"records that the broker keeps of an AT_LEAST_ONCE topic: a node that misses more does not deliver the oldest"`
}

type redisKeys struct {
	URL       string       `key:"url" default:"" secret:"true" doc:"redis://[user:password@]host:port[/db], rediss:// for TLS, or unix:///path; required with broker redis, unless sentinels find the server: then it has no host"`
	KeyPrefix string       `key:"keyPrefix" default:"weir" doc:"begins every key and channel; clusters that share a server have one each"`
	Sentinel  sentinelKeys `key:"sentinel" doc:"who knows which server is the master"`
}

type sentinelKeys struct {
	Master    string   `key:"master" default:"" doc:"the name under which the sentinels watch the master"`
	Addresses []string `key:"addresses" doc:"host:port of sentinels, at least one; the others are learnt from these"`
	Username  string   `key:"username" default:"" doc:"at the sentinels"`
	Password  string   `key:"password" default:"" secret:"true" doc:"at the sentinels"`
}

// isSet reports whether the file says anything of sentinels.
func (k *sentinelKeys) isSet() bool {
	return k.Master != "" || len(k.Addresses) > 0 || k.Username != "" || k.Password != ""
}

type natsKeys struct {
	URL         string   `key:"url" default:"" secret:"true" doc:"nats://[user:password@]host:port, or [token@]; tls:// for TLS, ws:// or wss://; several servers of one cluster with commas between; required with broker nats"`
	Credentials string   `key:"credentials" default:"" doc:"a file with a user's token and key (.creds), read again for each connection; empty: the URL says who this is, or nobody asks"`
	KeyPrefix   string   `key:"keyPrefix" default:"weir" doc:"begins every subject, and names the stream: letters, digits, - and _; clusters that share an account have one each"`
	Embedded    bool     `key:"embedded" default:"false" doc:"runs the NATS server in this process, as one of those of peers, in place of url"`
	StoreDir    string   `key:"storeDir" default:"" doc:"where the embedded server keeps what was appended; required with embedded"`
	Listen      string   `key:"listen" default:"" doc:"host:port on which the embedded server takes its peers; required with peers"`
	Peers       []string `key:"peers" doc:"host:port of the embedded servers of all nodes, this one's among them: three or five, the same on each; left out: this node is alone"`
	Secret      string   `key:"secret" default:"" secret:"true" doc:"what embedded servers show each other, 16 bytes or more; required with listen"`
	SyncAlways  bool     `key:"syncAlways" default:"false" doc:"has the embedded server write each append to disk before it is confirmed; false: within a second"`
	Replicas    int      `key:"replicas" default:"0" min:"0" max:"5" doc:"servers that keep what is appended before it is confirmed: 1, 3 or 5; 0: 3 in a cluster of servers, 1 elsewhere, and what a stream that is there has"`
}

// cluster is what joins nodes.
func (r *reader) cluster(k *clusterKeys) (o weir.ClusterOptions) {
	r.idleCluster(k)
	var b cluster.Broker
	switch k.Broker {
	case "redis":
		b = r.redis(&k.Redis)
	case "nats":
		b = r.nats(k)
	}
	if b == nil {
		return o
	}
	o = weir.ClusterOptions{Broker: b, Node: k.NodeName, LogRecords: k.LogRecords, JoinTimeout: k.Join}
	if k.Join == 0 {
		o.JoinTimeout = weir.Off
	}
	return o
}

func (r *reader) redis(k *redisKeys) cluster.Broker {
	if k.URL == "" && !k.Sentinel.isSet() {
		r.wrong("cluster.redis.url", "is missing: broker redis needs the address of a Redis server, redis://host:port")
		return nil
	}
	b, err := redis.New(redis.Options{URL: k.URL, KeyPrefix: k.KeyPrefix, Sentinel: redis.Sentinel{
		Master: k.Sentinel.Master, Addresses: k.Sentinel.Addresses, Username: k.Sentinel.Username, Password: k.Sentinel.Password,
	}})
	if err != nil {
		r.wrongBroker("cluster.redis", err)
		return nil
	}
	return b
}

func (r *reader) nats(all *clusterKeys) cluster.Broker {
	k := &all.NATS
	if k.Embedded {
		return r.embedded(all)
	}
	if k.URL == "" {
		r.wrong("cluster.nats.url", "is missing: broker nats needs the address of a NATS server, nats://host:port")
		return nil
	}
	if k.Credentials != "" {
		k.Credentials = r.fromHere(k.Credentials)
	}
	b, err := nats.New(nats.Options{URL: k.URL, Credentials: k.Credentials, KeyPrefix: k.KeyPrefix, Replicas: k.Replicas})
	if err != nil {
		r.wrongBroker("cluster.nats", err)
		return nil
	}
	return b
}

// embedded is a broker in the processes of the nodes, for which a start waits as long as it takes unless it is told.
func (r *reader) embedded(all *clusterKeys) cluster.Broker {
	k := &all.NATS
	if !r.isSet("cluster.joinTimeoutMs") {
		all.Join = 0
	}
	if k.StoreDir != "" {
		k.StoreDir = r.fromHere(k.StoreDir)
	}
	b, err := embedded.New(embedded.Options{
		StoreDir: k.StoreDir, Listen: k.Listen, Peers: k.Peers, Secret: k.Secret, SyncAlways: k.SyncAlways, KeyPrefix: k.KeyPrefix,
	})
	if err != nil {
		r.wrongBroker("cluster.nats", err)
		return nil
	}
	return b
}

// wrongBroker books what a broker says of its options, "KeyPrefix …: want …", at the key of the one it begins with.
func (r *reader) wrongBroker(path string, err error) {
	place, sentence, _ := strings.Cut(err.Error(), ": ")
	field, _, _ := strings.Cut(place, " ")
	if field == "URL" {
		field = "url"
	}
	for part := range strings.SplitSeq(field, ".") { // Sentinel.Master is sentinel.master
		path += "." + strings.ToLower(part[:1]) + part[1:]
	}
	r.wrong(path, "%s", sentence)
}

// idleCluster refuses what the broker does not have.
func (r *reader) idleCluster(k *clusterKeys) {
	for _, key := range []struct {
		path, of string // the broker that has it; "": all but memory
		set      bool
	}{
		{"redis.url", "redis", k.Redis.URL != ""},
		{"redis.keyPrefix", "redis", k.Redis.KeyPrefix != "weir"},
		{"redis.sentinel", "redis", k.Redis.Sentinel.isSet()},
		{"nats.url", "nats", k.NATS.URL != ""},
		{"nats.credentials", "nats", k.NATS.Credentials != ""},
		{"nats.keyPrefix", "nats", k.NATS.KeyPrefix != "weir"},
		{"nats.replicas", "nats", k.NATS.Replicas != 0},
		{"nodeName", "", k.NodeName != ""},
		{"nats.embedded", "nats", k.NATS.Embedded},
		{"joinTimeoutMs", "", k.Join != 10*time.Second},
		{"logRecords", "", k.LogRecords != 10_000},
	} {
		if key.set && key.of != k.Broker && (key.of != "" || k.Broker == "memory") {
			r.wrong("cluster."+key.path, "has no effect with broker %s", k.Broker)
		}
	}
	n := &k.NATS
	for _, key := range []struct {
		name          string
		set, embedded bool // the embedded server has it, or another one
	}{
		{"url", n.URL != "", false},
		{"credentials", n.Credentials != "", false},
		{"replicas", n.Replicas != 0, false},
		{"storeDir", n.StoreDir != "", true},
		{"listen", n.Listen != "", true},
		{"peers", len(n.Peers) > 0, true},
		{"secret", n.Secret != "", true},
		{"syncAlways", n.SyncAlways, true},
	} {
		if key.set && key.embedded != n.Embedded && (k.Broker == "nats" || key.embedded) {
			r.wrong("cluster.nats."+key.name, "has no effect with embedded: %t", n.Embedded)
		}
	}
}

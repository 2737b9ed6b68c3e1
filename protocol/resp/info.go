package resp

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"

	"github.com/spate-io/spate/engine"
)

// infoSections are the parts of INFO in Redis's order; those after the gap are shown on demand only.
var infoSections = []struct {
	name string
	show func(*Request, *strings.Builder)
}{
	{"Server", (*Request).infoServer},
	{"Clients", (*Request).infoClients},
	{"Memory", (*Request).infoMemory},
	{"Persistence", (*Request).infoPersistence},
	{"Stats", (*Request).infoStats},
	{"Replication", (*Request).infoReplication},
	{"CPU", (*Request).infoCPU},
	{"Modules", (*Request).infoNothing},
	{"Errorstats", (*Request).infoNothing},
	{"Cluster", (*Request).infoCluster},
	{"Keyspace", (*Request).infoNothing},
}

func runInfo(_ context.Context, r *Request) error {
	var b strings.Builder
	for _, section := range infoSections {
		if !r.wants(section.name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("# " + section.name + "\r\n")
		section.show(r, &b)
	}
	r.Plain(b.String())
	return nil
}

// wants tells whether the request asks for a section, by name or all of them.
func (r *Request) wants(section string) bool {
	for _, arg := range r.args[1:] {
		switch name := strings.ToLower(string(arg)); name {
		case "all", "default", "everything", strings.ToLower(section):
			return true
		}
	}
	return len(r.args) == 1
}

// fields writes pairs of names and values.
func fields(b *strings.Builder, pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(b, "%v:%v\r\n", pairs[i], pairs[i+1])
	}
}

func (r *Request) infoServer(b *strings.Builder) {
	p := r.proto
	up := p.clock().Sub(p.started)
	fields(b,
		"redis_version", redisVersion, "redis_mode", "standalone", "server_name", "spate", "spate_version", p.version,
		"os", runtime.GOOS, "arch_bits", 32<<(^uint(0)>>63), "go_version", runtime.Version(),
		"process_id", os.Getpid(), "tcp_port", port(r.conn), "server_time_usec", p.clock().UnixMicro(),
		"uptime_in_seconds", int64(up.Seconds()), "uptime_in_days", int64(up.Hours()/24))
}

func (r *Request) infoClients(b *strings.Builder) {
	all, subscribed := 0, 0
	for _, s := range r.peers {
		all++
		subscribed += boolBit(s.is(stateSubscribed))
	}
	fields(b, "connected_clients", all, "maxclients", r.conn.Engine().Limits().Connections, "blocked_clients", 0, "pubsub_clients", subscribed)
}

func (r *Request) infoMemory(b *strings.Builder) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	used := samples[0].Value.Uint64()
	rss := samples[1].Value.Uint64() - samples[2].Value.Uint64()
	fields(b, "used_memory", used, "used_memory_human", human(used), "used_memory_rss", rss, "used_memory_rss_human", human(rss),
		"maxmemory", 0, "maxmemory_human", "0B", "maxmemory_policy", "noeviction",
		"mem_clients_normal", r.conn.Engine().Stats().Buffered, "mem_allocator", "go")
}

// human writes a size as Redis does.
func human(n uint64) string {
	units := "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	f, i := float64(n)/1024, 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	return fmt.Sprintf("%.2f%c", f, units[i])
}

func (r *Request) infoPersistence(b *strings.Builder) {
	fields(b, "loading", 0, "rdb_bgsave_in_progress", 0, "aof_enabled", 0)
}

func (r *Request) infoStats(b *strings.Builder) {
	conns, route, mine := r.conn.Engine().Stats(), r.proto.bus.Stats(), r.proto.Stats()
	fields(b,
		"total_connections_received", conns.Accepted,
		"total_commands_processed", mine.Commands+r.tally.commands,
		"total_net_input_bytes", conns.BytesIn, "total_net_output_bytes", conns.BytesOut,
		"rejected_connections", conns.Closed[engine.ReasonTooMany]+conns.Closed[engine.ReasonTooManyAddress],
		"expired_keys", 0, "evicted_keys", 0, "keyspace_hits", 0, "keyspace_misses", 0,
		"pubsub_channels", route.Filters, "pubsub_patterns", route.Patterns,
		"pubsub_published", route.Published, "pubsub_delivered", route.Delivered, "pubsub_dropped", route.Dropped,
		"client_output_buffer_limit_disconnections", conns.Closed[engine.ReasonOverflow],
		"acl_access_denied_cmd", mine.Denied, "total_error_replies", mine.Errors+r.tally.errors)
}

func (r *Request) infoReplication(b *strings.Builder) {
	fields(b, "role", "master", "connected_slaves", 0, "master_failover_state", "no-failover", "master_repl_offset", 0)
}

func (r *Request) infoCPU(b *strings.Builder) {
	if user, system, ok := cpuSeconds(); ok {
		fmt.Fprintf(b, "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n", system, user)
	}
}

func (r *Request) infoCluster(b *strings.Builder) { fields(b, "cluster_enabled", 0) }

// infoNothing is a section that tools look for and that has nothing to say.
func (r *Request) infoNothing(*strings.Builder) {}

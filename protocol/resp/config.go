package resp

import (
	"context"
	"strconv"
	"strings"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
)

// redisVersion is the version of Redis whose requests, replies and errors these are.
const redisVersion = "7.0.15"

// parameter is one that CONFIG GET shows: either what is true, or what makes a client of Redis do the right thing.
type parameter struct{ name, value string }

// parameters returns them in order. Spate is configured elsewhere, so there is no CONFIG SET.
func (r *Request) parameters() []parameter {
	limits := r.conn.Engine().Limits()
	idle := int64(limits.IdleTimeout.Seconds())
	const century = 100 * 365 * 24 * 3600
	if idle >= century {
		idle = 0
	}
	buffered := strconv.Itoa(limits.Buffered)
	return []parameter{
		{"appendonly", "no"},
		{"bind", host(localAddr(r.conn))},
		{"client-output-buffer-limit", "normal " + buffered + " 0 0 slave 0 0 0 pubsub " + buffered + " 0 0"},
		{"client-query-buffer-limit", strconv.Itoa(limits.Message)},
		{"cluster-enabled", "no"},
		{"databases", strconv.Itoa(databases)},
		{"maxclients", strconv.Itoa(limits.Connections)},
		{"maxmemory", "0"},
		{"maxmemory-policy", "noeviction"},
		{"notify-keyspace-events", ""},
		{"port", port(r.conn)},
		{"proto-max-bulk-len", strconv.Itoa(r.limits.Bulk)},
		{"save", ""},
		{"tcp-keepalive", "60"},
		{"timeout", strconv.FormatInt(idle, 10)},
	}
}

func host(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	return strings.Trim(addr[:max(i, 0)], "[]")
}

// port returns the port of the connection's listener, 0 for a Unix socket.
func port(c *engine.Conn) string {
	addr := localAddr(c)
	return addr[strings.LastIndexByte(addr, ':')+1:]
}

func runConfigGet(_ context.Context, r *Request) error {
	var found []parameter
	for _, p := range r.parameters() {
		for _, pattern := range r.args[2:] {
			switch {
			case sameFold(pattern, p.name):
				p.name = string(pattern) // as Redis, in the case in which it was asked for
			case !bus.GlobFold(string(pattern), p.name):
				continue
			}
			found = append(found, p)
			break
		}
	}
	r.Map(len(found))
	for _, p := range found {
		r.pair(p.name, p.value)
	}
	return nil
}

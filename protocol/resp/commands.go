package resp

import (
	"context"
	"strings"

	"github.com/spate-io/spate/bus"
)

// flagNames are how COMMAND shows flags, in Redis's order.
var flagNames = []struct {
	flag Flags
	name string
}{
	{write, "write"}, {readOnly, "readonly"}, {denyOOM, "denyoom"}, {Admin, "admin"}, {PubSub, "pubsub"}, {noScript, "noscript"}, {loading, "loading"}, {stale, "stale"}, {Blocking, "blocking"}, {Fast, "fast"},
	{Guest, "no_auth"}, {allowBusy, "allow_busy"}, {movable, "movablekeys"},
}

func (f Flags) names() (names []string) {
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// categories are Redis's ACL categories, which follow from flags and group.
func (c *command) categories() (names []string) {
	for _, n := range []struct {
		flag Flags
		name string
	}{{keyed, "@keyspace"}, {write, "@write"}, {readOnly, "@read"}, {streamed, "@stream"}} {
		if c.Flags&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	if c.Flags&PubSub != 0 {
		names = append(names, "@pubsub")
	}
	if c.Flags&Admin != 0 {
		names = append(names, "@admin")
	}
	if c.Flags&Fast != 0 {
		names = append(names, "@fast")
	} else {
		names = append(names, "@slow")
	}
	if c.Flags&Admin != 0 {
		names = append(names, "@dangerous")
	}
	if c.Group == groupConnection {
		names = append(names, "@connection")
	}
	if c.Flags&Blocking != 0 && c.Flags&streamed != 0 {
		names = append(names, "@blocking")
	}
	return names
}

// keys returns which arguments are keys: the first, the last (from the end, if it is negative), and the distance.
func (c *command) keys() (first, last, step int64) {
	switch {
	case c.Flags&(streamed|keyed) == 0, c.Flags&(write|readOnly) == 0, c.Flags&movable != 0:
		return 0, 0, 0
	case c.full != c.name:
		return 2, 2, 1 // of a subcommand
	case c.Flags&keyed != 0 && c.Arity < 0:
		return 1, -1, 1
	}
	return 1, 1, 1
}

// named returns the command of a name as COMMAND takes it, unless it is hidden: "client|list" for a subcommand.
func (t *table) named(name []byte) *command {
	parent, sub, both := strings.Cut(strings.ToLower(string(name)), "|")
	c := t.find([]byte(parent))
	switch {
	case c == nil, c.Flags&hidden != 0:
		return nil
	case !both:
		return c
	case c.subs == nil:
		return nil
	}
	return c.subs.find([]byte(sub))
}

// subList returns the subcommands.
func (c *command) subList() []*command {
	if c.subs == nil {
		return nil
	}
	return c.subs.list
}

func runCommand(_ context.Context, r *Request) error {
	r.describeAll(r.proto.table.list)
	return nil
}

func runCommandCount(_ context.Context, r *Request) error {
	r.Integer(int64(len(r.proto.table.list)))
	return nil
}

func runCommandInfo(_ context.Context, r *Request) error {
	if len(r.args) == 2 {
		r.describeAll(r.proto.table.list)
		return nil
	}
	r.Array(len(r.args) - 2)
	for _, name := range r.args[2:] {
		if c := r.proto.table.named(name); c != nil {
			r.describe(c)
		} else {
			r.Null()
		}
		r.spill()
	}
	return nil
}

func (r *Request) describeAll(list []*command) {
	r.Array(len(list))
	for _, c := range list {
		r.describe(c)
	}
}

// describe replies with the ten parts of a command: name, arity, flags, first and last key and step, categories, tips,
// key specifications, which we leave out, subcommands.
func (r *Request) describe(c *command) {
	r.Array(10)
	r.BulkString(c.full)
	r.Integer(int64(c.Arity))
	r.simples(c.Flags.names())
	first, last, step := c.keys()
	r.Integer(first)
	r.Integer(last)
	r.Integer(step)
	r.simples(c.categories())
	r.Set(0)
	r.Set(0)
	subs := c.subList()
	r.Set(len(subs))
	for _, sub := range subs {
		r.describe(sub)
	}
}

// simples replies with a set of words.
func (r *Request) simples(words []string) {
	r.Set(len(words))
	for _, word := range words {
		r.Simple(word)
	}
}

func runCommandList(_ context.Context, r *Request) error {
	keep := func(*command) bool { return true }
	switch {
	case len(r.args) == 2:
	case len(r.args) == 5 && sameFold(r.args[2], "filterby"):
		value := strings.ToLower(string(r.args[4]))
		switch strings.ToLower(string(r.args[3])) {
		case "module":
			keep = func(*command) bool { return false }
		case "aclcat":
			keep = func(c *command) bool { return contains(c.categories(), "@"+value) }
		case "pattern":
			keep = func(c *command) bool { return bus.GlobFold(value, c.full) }
		default:
			return errSyntax
		}
	default:
		return errSyntax
	}
	var names []string
	for _, c := range r.proto.table.all {
		if c.Flags&hidden == 0 && keep(c) && (len(r.args) > 2 || !strings.Contains(c.full, "|")) {
			names = append(names, c.full)
		}
	}
	r.Array(len(names))
	for _, name := range names {
		r.BulkString(name)
	}
	return nil
}

func contains(list []string, want string) bool {
	for _, have := range list {
		if have == want {
			return true
		}
	}
	return false
}

func runCommandDocs(_ context.Context, r *Request) error {
	list := r.proto.table.list
	if len(r.args) > 2 {
		list = nil
		for _, name := range r.args[2:] {
			if c := r.proto.table.named(name); c != nil {
				list = append(list, c)
			}
		}
	}
	r.document(list)
	return nil
}

// document replies with what people want to know about each command; a client such as redis-cli makes its help of it.
func (r *Request) document(list []*command) {
	r.Map(len(list))
	for _, c := range list {
		r.spill()
		r.BulkString(c.full)
		r.Map(3 + boolBit(c.Complexity != "") + boolBit(c.usage != nil) + boolBit(c.subs != nil))
		r.pair("summary", c.Summary)
		r.pair("since", c.Since)
		r.pair("group", c.Group)
		if c.Complexity != "" {
			r.pair("complexity", c.Complexity)
		}
		r.documentArguments(c.usage)
		if c.subs != nil {
			r.BulkString("subcommands")
			r.document(c.subs.list)
		}
	}
}

func (r *Request) documentArguments(usage []argument) {
	if usage == nil {
		return
	}
	r.BulkString("arguments")
	r.Array(len(usage))
	for _, a := range usage {
		flags := a.flags()
		r.Map(2 + boolBit(flags != nil))
		r.pair("name", a.name)
		r.pair("type", "string")
		if flags != nil {
			r.BulkString("flags")
			r.simples(flags)
		}
	}
}

func (r *Request) pair(name, value string) {
	r.BulkString(name)
	r.BulkString(value)
}

// help makes the HELP subcommand of a command from its table. Redis has a text of its own for each.
func help(parent string, usage ...string) Command {
	lines := append([]string{parent + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}, usage...)
	lines = append(lines, "HELP", "    Prints this help.")
	return Command{
		Name: "HELP", Arity: 2, Flags: loading | stale, Group: groupServer, Since: "5.0.0", Complexity: "O(1)",
		Summary: "Show helpful text about the different subcommands",
		Run: func(_ context.Context, r *Request) error {
			r.Array(len(lines))
			for _, line := range lines {
				r.Simple(line)
			}
			return nil
		},
	}
}

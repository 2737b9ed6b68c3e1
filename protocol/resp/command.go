package resp

import (
	"cmp"
	"context"
	"fmt"
	"strings"
)

// A Command is a type of request.
type Command struct {
	// Name is what the request begins with, in any case.
	Name string
	// Arity is the number of arguments, the name among them; -2 means two or more. Of a subcommand, both names count.
	Arity int
	// Flags say when the command may be used.
	Flags Flags
	// Summary, Since, Group and Complexity are for COMMAND DOCS. The first is one sentence, the second a version of the server.
	// Defaults: the name, 1.0.0, Redis's word "module" for what is not its own, and none.
	Summary, Since, Group, Complexity string
	// Usage is what follows the name, for COMMAND DOCS and the hints of redis-cli: "key [key ...]", "[message]".
	Usage string
	// Subcommands are told apart by the second argument.
	Subcommands []Command
	// Run answers one request, by the methods of Request or by an error. It may block as long as it likes; ctx ends when
	// the connection does. Requests of one connection run one after the other, those of several at the same time.
	//
	// Returning nil without a reply replies OK. An [Error] is replied as it is, any other error behind "ERR "; either
	// takes the place of a reply that was begun. An error made by [engine.Because] closes the connection.
	Run func(ctx context.Context, r *Request) error
}

// Flags say when a command may be used.
type Flags uint32

// The flags. Those without a comment of their own are only shown by COMMAND.
const (
	Admin    Flags = 1 << iota // needs the right to administer, once authentication is configured
	Guest                      // may be used before authentication
	PubSub                     // belongs to publishing and subscribing
	Fast                       // takes constant time; only shown
	Anytime                    // may be used by a subscriber that speaks version 2
	Blocking                   // may wait for long: replies to the requests before it are sent first
	noScript
	loading
	stale
	allowBusy
	hidden // not shown
	async  // its reply may come later, see Request.later
	write
	readOnly
	denyOOM
	movable
	streamed // belongs to streams
	keyed    // belongs to keys of any type
)

// runFunc is the type of Command.Run.
type runFunc = func(ctx context.Context, r *Request) error

// A command is a Command in the table.
type command struct {
	Command
	name, full string // in lower case; full is "client|list" for a subcommand
	number     uint32 // from 1, in the order of the table
	subs       *table
	usage      []argument
}

// A table finds commands by name, without regard to case. It does not change.
type table struct {
	slots []*command // a hash table with open addressing, at most a quarter full
	list  []*command // in order, without those that are hidden
	all   []*command // of the table at the top: subcommands and hidden ones too, by number less one
}

// newTable makes the table of all commands.
func newTable(declared []Command) (table, error) {
	var all []*command
	t, err := buildTable(declared, "", &all)
	t.all = all
	return t, err
}

func buildTable(declared []Command, parent string, all *[]*command) (table, error) {
	size := 4
	for size < 4*len(declared) {
		size *= 2
	}
	t := table{slots: make([]*command, size)}
	for _, d := range declared {
		c := &command{Command: d.withDefaults(), name: strings.ToLower(d.Name)}
		c.full = parent + c.name
		c.usage = arguments(d.Usage)
		if err := c.check(); err != nil {
			return t, err
		}
		if t.find([]byte(c.name)) != nil {
			return t, fmt.Errorf("two commands are called %s: choose another name for one of them", strings.ToUpper(c.full))
		}
		*all = append(*all, c)
		c.number = uint32(len(*all))
		t.enter(c)
		if len(d.Subcommands) == 0 {
			continue
		}
		subs, err := buildTable(d.Subcommands, c.full+"|", all)
		if err != nil {
			return t, err
		}
		c.subs = &subs
	}
	return t, nil
}

// withDefaults fills in what redis-cli 7.0 must be told: it crashes in its help when there is no group.
func (c Command) withDefaults() Command {
	c.Summary = cmp.Or(c.Summary, c.Name)
	c.Since = cmp.Or(c.Since, "1.0.0")
	c.Group = cmp.Or(c.Group, "module")
	return c
}

// check reports what a declaration lacks.
func (c *command) check() error {
	switch {
	case c.Name == "" || strings.ContainsAny(c.Name, " |\r\n\t"):
		return fmt.Errorf("a command cannot be called %q: a name is one word without |", c.full)
	case c.Arity == 0:
		return fmt.Errorf("command %s has no Arity: 1 is the name alone, -2 the name and at least one argument", strings.ToUpper(c.full))
	case c.Run == nil && len(c.Subcommands) == 0:
		return fmt.Errorf("command %s has no Run", strings.ToUpper(c.full))
	}
	return nil
}

func (t *table) enter(c *command) {
	if c.Flags&hidden == 0 {
		t.list = append(t.list, c)
	}
	i := t.slot([]byte(c.name))
	for t.slots[i] != nil {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = c
}

// find returns the command of that name, or nil. A map of strings would first need the name in lower case.
func (t *table) find(name []byte) *command {
	if len(name) == 0 {
		return nil
	}
	for i := t.slot(name); ; i = (i + 1) & (len(t.slots) - 1) {
		c := t.slots[i]
		if c == nil || sameFold(name, c.name) {
			return c
		}
	}
}

// slot is where to begin to look for a name: it depends on the length, the first, the middle and the last letter.
func (t *table) slot(name []byte) int {
	n := len(name)
	h := uint32(n) ^ uint32(name[0]|0x20)<<4 ^ uint32(name[n/2]|0x20)<<11 ^ uint32(name[n-1]|0x20)<<19
	return int(h*2654435761>>16) & (len(t.slots) - 1)
}

// sameFold compares name with a text in lower case, without regard to the case of ASCII letters.
func sameFold(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, b := range name {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}

// takes tells whether n arguments are right for the command.
func (c *command) takes(n int) bool { return n == c.Arity || c.Arity < 0 && n >= -c.Arity }

package auth

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/spate-io/spate/event"
)

func withClient(role Role, user, client string) holder {
	return holder{rights: compileRole(role), who: &names{user: user, client: client}}
}

func TestClientInFilters(t *testing.T) {
	role := Role{
		Publish:   []string{"devices/{client}/#", "{client}/up", "{user}/{client}/x", "a/{user}-{client}"},
		Subscribe: []string{"commands/{client}/+", "{client}/#", "+/{client}"},
	}
	cases := []struct {
		client string
		action Action
		target string
		want   bool
	}{
		{"c1", ActionPublish, "devices/c1/x", true},
		{"c1", ActionPublish, "devices/c1", true},
		{"c1", ActionPublish, "devices/c10/x", false},
		{"c1", ActionPublish, "devices/c2/x", false},
		{"c1", ActionPublish, "c1/up", true},
		{"c1", ActionPublish, "bert/c1/x", true},
		{"c1", ActionPublish, "anna/c1/x", false},
		{"c1", ActionPublish, "a/bert-c1", true},
		{"c1", ActionPublish, "a/bert-", false},
		{"c1", ActionSubscribe, "commands/c1/+", true},
		{"c1", ActionSubscribe, "commands/+/stop", false},
		{"c1", ActionSubscribe, "commands/c1/#", false},
		{"c1", ActionSubscribe, "c1/#", true},
		{"c1", ActionSubscribe, "#", false},
		{"c1", ActionSubscribe, "+/#", false},
		{"c1", ActionSubscribe, "+/c1", true},
		{"c1", ActionSubscribe, "+/+", false},
		{"c1", ActionSubscribeGlob, "c1/*", true},
		{"c1", ActionSubscribeGlob, "c1*", false},
		{"c1", ActionSubscribeGlob, "c*", false},
		{"c1", ActionSubscribeGlob, "commands/c1/x", true},
		// A door without identifiers.
		{"", ActionPublish, "devices//x", false},
		{"", ActionPublish, "devices/x", false},
		{"", ActionPublish, "a/bert-", false},
		{"", ActionSubscribe, "/#", false},
		// No character of an identifier means anything.
		{"+", ActionPublish, "devices/+/x", false},
		{"+", ActionPublish, "devices/x/x", false},
		{"+", ActionSubscribe, "commands/+/stop", false},
		{"+", ActionSubscribe, "+/#", false},
		{"+", ActionSubscribe, "+/+", false},
		{"#", ActionSubscribe, "#", false},
		{"#", ActionSubscribe, "commands/#", false},
		{"c1/#", ActionSubscribe, "c1/#", false},
		{"a/b", ActionPublish, "devices/a/b", false},
		{"a/b", ActionPublish, "devices/a/b/c", false},
		{"a/b", ActionPublish, "a/b/up", false},
		{"$SYS", ActionPublish, "$SYS/up", false},
		{"$SYS", ActionSubscribe, "$SYS/#", false},
		{"$SYS", ActionPublish, "devices/$SYS/x", true},
		{"*", ActionSubscribeGlob, "*/x", false},
		{"*", ActionSubscribeGlob, `\*/x*`, true},
		{"{user}", ActionPublish, "devices/bert/x", false},
		{"{client}", ActionPublish, "devices/{client}/x", true},
	}
	for _, c := range cases {
		if got := withClient(role, "bert", c.client).may(c.action, c.target); got != c.want {
			t.Errorf("client %q: %s %q: %v, want %v", c.client, c.action, c.target, got, c.want)
		}
	}
}

// TestClientNeverWidens: whatever an identifier is, a rule with {client} allows
// what it would allow with the identifier written into it if that is a plain name,
// and otherwise no more than with a name that nobody else has.
func TestClientNeverWidens(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	subjects := subjectsUpTo(4)
	clients := []string{"a", "b", "ab", "+", "#", "a/b", "/", "$", "$a", "a/#", "+/+", "*", "?", "a*", "", "{user}", "\\"}
	allowed := 0
	for range propertyRounds {
		rule := strings.Replace(randomFilter(r), "a", clientPlaceholder, 1+r.IntN(2))
		if checkRule(rule) != nil || !strings.Contains(rule, clientPlaceholder) {
			continue
		}
		client, asked := clients[r.IntN(len(clients))], randomFilter(r)
		h := withClient(Role{Subscribe: []string{rule}}, "u", client)
		written := strings.ReplaceAll(rule, clientPlaceholder, client)
		plain := client != "" && !strings.ContainsAny(client, "+#/$")
		same := rightsFor("u", Role{Subscribe: []string{written}})
		for _, s := range subjects {
			if got := h.mayReceive(s); got && !plain && client != "$" && client != "$a" || plain && got != same.mayReceive(s) {
				t.Fatalf("%q with client %q and %q: %v", rule, client, s, got)
			}
			if strings.HasPrefix(s, "$") && strings.HasPrefix(rule, "{") && h.mayReceive(s) {
				t.Fatalf("%q with client %q reaches %q", rule, client, s)
			}
		}
		if r.IntN(2) == 0 {
			asked = written
		}
		if !h.maySubscribe(asked) {
			continue
		}
		allowed++
		filter, _ := event.ParseFilter(asked, anyLength)
		for _, s := range subjects {
			if filter.Match(s) && !h.mayReceive(s) {
				t.Fatalf("%q with client %q allows the filter %q, which matches %q", rule, client, asked, s)
			}
		}
	}
	if allowed < 10 {
		t.Errorf("only %d were allowed: the test does not test", allowed)
	}
}

func TestClientGlobProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	subjects := subjectsUpTo(4)
	allowed := 0
	for range propertyRounds {
		rule := strings.Replace(randomFilter(r), "a", clientPlaceholder, 1)
		if checkRule(rule) != nil {
			continue
		}
		h, glob := withClient(Role{Subscribe: []string{rule}}, "u", []string{"a", "b", "ab"}[r.IntN(3)]), randomGlob(r)
		if !h.maySubscribeGlob(glob) {
			continue
		}
		allowed++
		prefix, _ := globPrefix(glob)
		for _, s := range subjects {
			if strings.HasPrefix(s, "$") && !strings.HasPrefix(prefix, "$") {
				continue // the package comment: doors do not match these
			}
			if globMatches(glob, s) && !h.mayReceive(s) {
				t.Fatalf("%q with client %q allows the pattern %q, which matches %q", rule, h.who.client, glob, s)
			}
		}
	}
	if allowed < 50 {
		t.Errorf("only %d were allowed: the test does not test", allowed)
	}
}

func TestWithClient(t *testing.T) {
	a, log := start(t, clients("{user}", "{user}/*", "tool-*-x"), Options{})
	bert := login(t, a, "bert", "bert-secret")
	for client, want := range map[string]error{
		"bert": nil, "bert/1": nil, "bert/": ErrClient, "bert-1": ErrClient, "anna": ErrClient, "anna/1": ErrClient, "": nil,
		"{user}": ErrClient, "{user}/1": ErrClient, "tool-1-x": nil, "tool-x": ErrClient, "tool--x": ErrClient, "*": ErrClient,
	} {
		id, err := a.WithClient(peer, bert, client)
		if !errors.Is(err, want) || err == nil && (id.Client() != client || id.User() != "bert") || err != nil && !id.IsZero() {
			t.Errorf("client %q: %v, %v", client, id.Client(), err)
		}
	}
	if bert.Client() != "" {
		t.Error("the identity that was given has changed")
	}
	for _, want := range []string{`"user":"bert"`, `"action":"use client identifier"`, `"target":"anna/1"`, `"reason":"no role of the user lists the client identifier"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no audit line has %s: %s", want, log.String())
		}
	}
	one, err := a.WithClient(peer, bert, "bert/1")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Authorize(peer, one, ActionPublish, "x"); !errors.Is(err, ErrForbidden) || !strings.Contains(log.String(), `"client":"bert/1"`) {
		t.Errorf("%v; no audit line names the client: %s", err, log.String())
	}
	// A reload takes an identifier away.
	if err := a.Reload(clients("{user}")); err != nil {
		t.Fatal(err)
	}
	if err := a.Refresh(one); !errors.Is(err, ErrClient) || a.CanReceive(one, "news") {
		t.Errorf("after a reload: %v", err)
	}
	if err := a.Refresh(bert); err != nil {
		t.Errorf("without an identifier, after a reload: %v", err)
	}
	if _, err := a.WithClient(peer, Identity{}, "x"); !errors.Is(err, ErrNotAuthenticated) {
		t.Errorf("nobody: %v", err)
	}
}

// clients is a configuration in which devices may use these identifiers alone.
func clients(patterns ...string) Config {
	config := people()
	device := config.Roles["device"]
	device.Clients = patterns
	config.Roles["device"] = device
	return config
}

func TestWithClientWhileOpen(t *testing.T) {
	a, _ := start(t, Config{}, Options{})
	id, err := a.Open(self, loopback)
	if err != nil {
		t.Fatal(err)
	}
	other, err := a.WithClient(self, id, "+/#")
	if err != nil || other != id || !a.CanPublish(other, "x") {
		t.Errorf("while open: %v, %v", other, err)
	}
	if err := a.Reload(people()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.WithClient(self, id, "c"); !errors.Is(err, ErrNotAuthenticated) {
		t.Errorf("when authentication is on: %v", err)
	}
}

// TestManyClients: ten thousand sessions share what their roles allow.
func TestManyClients(t *testing.T) {
	const sessions = 10_000
	config := manyRules()
	operator := config.Roles["operator"]
	operator.Publish = append(operator.Publish, "devices/{user}/{client}/#")
	config.Roles["operator"] = operator
	a, _ := start(t, config, Options{})
	all, names := make([]Identity, sessions), make([]string, sessions)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	before := heap()
	for i := range all {
		var err error
		if all[i], err = a.WithClient(peer, login(t, a, "anna", "anna-secret"), names[i]); err != nil {
			t.Fatal(err)
		}
	}
	if each := (heap() - before) / sessions; each > 112 {
		t.Errorf("an identity holds %d bytes", each)
	}
	for i, id := range all {
		if !a.CanPublish(id, "devices/anna/"+names[i]+"/x") || a.CanPublish(id, "devices/anna/"+names[(i+1)%sessions]+"/x") {
			t.Fatalf("client %d", i)
		}
	}
	if n := testing.AllocsPerRun(100, func() { a.CanPublish(all[7], "devices/anna/c7/x") }); n != 0 {
		t.Errorf("a decision allocates %v times", n)
	}
}

func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// TestSetsOfRolesAreBounded: an issuer that makes up sets of roles fills no map.
func TestSetsOfRolesAreBounded(t *testing.T) {
	config := people()
	for i := range 11 {
		config.Roles[fmt.Sprintf("r%d", i)] = Role{Publish: []string{fmt.Sprintf("x/%d", i)}}
	}
	a, _ := start(t, config, Options{})
	s := a.snap.Load()
	for set := range 1 << 11 {
		var roles []string
		for i := range 11 {
			if set>>i&1 == 1 {
				roles = append(roles, fmt.Sprintf("r%d", i), "unknown", fmt.Sprintf("r%d", i))
			}
		}
		h := holder{rights: s.grantOf(roles).rights, who: &names{user: "u"}}
		for i := range 11 {
			if h.mayPublish(fmt.Sprintf("x/%d", i)) != (set>>i&1 == 1) {
				t.Fatalf("set %b: role %d", set, i)
			}
		}
	}
	if n := len(s.grants.byRoles); n > maxGrants {
		t.Errorf("%d sets are kept", n)
	}
}

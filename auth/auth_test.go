package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6379}
	exposed  = &net.TCPAddr{IP: net.IPv4zero, Port: 6379}
	self     = Origin{Door: "resp", Addr: netip.MustParseAddr("127.0.0.1")}
)

// TestNoSurprise is the promise of the design: what is exposed off loopback is
// off until configured; once one access rule exists, what no rule allows is denied.
func TestNoSurprise(t *testing.T) {
	a, log := start(t, Config{}, Options{})
	listeners := []struct {
		addr  net.Addr
		local bool
	}{
		{loopback, true},
		{&net.TCPAddr{IP: net.IPv6loopback}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.2")}, true},
		{&net.UnixAddr{Name: "/run/spate.sock", Net: "unix"}, true},
		{exposed, false},
		{&net.TCPAddr{IP: net.IPv6unspecified}, false},
		{&net.TCPAddr{}, false},
		{&net.TCPAddr{IP: net.IPv4(192, 168, 1, 2)}, false},
		{&net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}, false},
		{nil, false},
	}
	for _, l := range listeners {
		if Local(l.addr) != l.local {
			t.Errorf("%v is local: %v", l.addr, !l.local)
		}
		if err := a.RequireFor(l.addr); (err == nil) != l.local || err != nil && !errors.Is(err, ErrExposed) {
			t.Errorf("a listener on %v without authentication: %v", l.addr, err)
		}
		if id, err := a.Open(self, l.addr); (err == nil) != l.local || a.CanAdmin(id) != l.local {
			t.Errorf("coming in at %v: %v, %v", l.addr, id, err)
		}
	}
	if _, err := a.Open(peer, loopback); !errors.Is(err, ErrNotAuthenticated) {
		t.Errorf("a peer of another machine at a local listener: %v", err)
	}
	if !strings.Contains(log.String(), "not local") {
		t.Error("there is no audit line")
	}
	// One rule is enough: from then on everything else is denied.
	b, _ := start(t, Config{Roles: map[string]Role{"r": {Publish: []string{"a"}}}}, Options{})
	if _, err := b.Open(self, loopback); !b.Enabled() || !errors.Is(err, ErrNotAuthenticated) {
		t.Errorf("with one rule: %v", err)
	}
	if err := b.RequireFor(exposed); err != nil {
		t.Errorf("with one rule: %v", err)
	}
	if _, err := b.Password(t.Context(), self, "anna", NewSecret("anna-secret")); !errors.Is(err, ErrDenied) {
		t.Errorf("with no user at all: %v", err)
	}
}

func TestOpenMayDoEverything(t *testing.T) {
	a, _ := start(t, Config{}, Options{})
	id, err := a.Open(self, loopback)
	if err != nil {
		t.Fatal(err)
	}
	if !a.CanPublish(id, "$SYS/x") || !a.CanSubscribe(id, "#") || !a.CanSubscribe(id, "$SYS/#") || !a.CanSubscribeGlob(id, "*") || !a.CanReceive(id, "x") || !a.CanAdmin(id) {
		t.Error("something is denied")
	}
	if a.CanPublish(id, "a/+") || a.CanSubscribe(id, "a/#/b") {
		t.Error("what is no subject or filter is allowed")
	}
	if id.User() != "" || id.Method() != MethodOpen || id.String() != "anybody (open)" {
		t.Errorf("it is %v", id)
	}
}

// TestNobody: the zero identity may do nothing, at any door.
func TestNobody(t *testing.T) {
	for name, config := range map[string]Config{"open": {}, "configured": people()} {
		a, _ := start(t, config, Options{})
		var id Identity
		for _, action := range []Action{ActionPublish, ActionSubscribe, ActionSubscribeGlob, ActionReceive, ActionAdmin} {
			if err := a.Authorize(peer, id, action, "news"); !errors.Is(err, ErrNotAuthenticated) {
				t.Errorf("%s: nobody may %s: %v", name, action, err)
			}
		}
		if id.User() != "" || id.Roles() != nil || id.Method() != "" || !id.IsZero() || id.String() != "nobody" || !errors.Is(a.Refresh(id), ErrNotAuthenticated) {
			t.Errorf("%s: nobody is somebody", name)
		}
	}
}

// A denial names the action and the target that were asked for, and nothing else: no subject of an event, no control characters.
func TestForbiddenSaysWhat(t *testing.T) {
	a, _ := start(t, people(), Options{})
	cleo := login(t, a, "cleo", "cleo-secret")
	const why = ": no access rule of this user's roles allows it; ask the operator for the right"
	for _, tc := range []struct {
		action       Action
		target, want string
	}{
		{ActionPublish, "a/\x1bb", `not permitted to publish on "a/\x1bb"` + why},
		{ActionSubscribe, "a/#", `not permitted to subscribe to "a/#"` + why},
		{ActionSubscribeGlob, "a*", `not permitted to subscribe to "a*"` + why},
		{ActionReceive, "secret/plans", "not permitted" + why},
		{ActionAdmin, "GET /v1/streams\x1b", "not permitted: GET /v1/streams? needs a role with admin: true; ask the operator for one"},
	} {
		if err := a.Authorize(peer, cleo, tc.action, tc.target); err == nil || err.Error() != tc.want || !errors.Is(err, ErrForbidden) {
			t.Errorf("%s %q: %v", tc.action, tc.target, err)
		}
	}
}

// TestEveryMethodAgrees: the silent decisions and the one with an audit line are the same.
func TestEveryMethodAgrees(t *testing.T) {
	a, log := start(t, people(), Options{})
	anna, bert, cleo := login(t, a, "anna", "anna-secret"), login(t, a, "bert", "bert-secret"), login(t, a, "cleo", "cleo-secret")
	targets := []string{"news", "#", "commands/bert/stop", "commands/bert/+", "devices/bert/x", "commands/*", "x"}
	for _, id := range []Identity{anna, bert, cleo} {
		for _, target := range targets {
			for action, can := range map[Action]bool{
				ActionPublish: a.CanPublish(id, target), ActionSubscribe: a.CanSubscribe(id, target),
				ActionSubscribeGlob: a.CanSubscribeGlob(id, target), ActionReceive: a.CanReceive(id, target),
				ActionAdmin: a.CanAdmin(id),
			} {
				err := a.Authorize(peer, id, action, target)
				if (err == nil) != can || err != nil && !errors.Is(err, ErrForbidden) {
					t.Errorf("%v: %s %s: %v and %v", id, action, target, can, err)
				}
			}
		}
	}
	if a.CanAdmin(bert) || !a.CanAdmin(anna) || a.CanPublish(cleo, "x") || a.CanSubscribe(cleo, "x") {
		t.Error("a role gives too much or too little")
	}
	if log.lines() == 0 {
		t.Error("denials leave no audit line")
	}
}

func TestReload(t *testing.T) {
	a, _ := start(t, people(), Options{})
	anna, bert := login(t, a, "anna", "anna-secret"), login(t, a, "bert", "bert-secret")
	steps := []struct {
		name   string
		change func(*Config)
		err    error
		news   bool
	}{
		{"nothing", func(*Config) {}, nil, true},
		{"the right is withdrawn", func(c *Config) { c.Roles["device"] = Role{} }, nil, false},
		{"the right comes back", func(*Config) {}, nil, true},
		{"the role is taken from the user", func(c *Config) { c.Users[1].Roles = nil }, nil, false},
		{"the password changes", func(c *Config) { c.Users[1].Password = NewSecret(cleoHash) }, ErrWithdrawn, false},
		{"the user is removed", func(c *Config) { c.Users = c.Users[:1] }, ErrWithdrawn, false},
	}
	for _, step := range steps {
		config := people()
		step.change(&config)
		before := a.Generation()
		if err := a.Reload(config); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if a.Generation() != before+1 || a.Stats().Generation != before+1 {
			t.Errorf("%s: the generation is %d after %d", step.name, a.Generation(), before)
		}
		// A subscription and a queued event are asked about again, without a refresh before.
		if a.CanSubscribe(bert, "news") != step.news || a.CanReceive(bert, "news") != step.news {
			t.Errorf("%s: may still subscribe %v, receive %v", step.name, a.CanSubscribe(bert, "news"), a.CanReceive(bert, "news"))
		}
		if err := a.Refresh(bert); !errors.Is(err, step.err) {
			t.Errorf("%s: refreshing says %v", step.name, err)
		}
		if err := a.Refresh(anna); err != nil || !a.CanAdmin(anna) {
			t.Errorf("%s: somebody else is affected: %v", step.name, err)
		}
	}
	if err := a.Authorize(peer, bert, ActionPublish, "devices/bert/x"); !errors.Is(err, ErrWithdrawn) {
		t.Errorf("after the user was removed: %v", err)
	}
}

// TestReloadFailsWhole: a bad or empty configuration changes nothing.
func TestReloadFailsWhole(t *testing.T) {
	a, _ := start(t, people(), Options{})
	bert := login(t, a, "bert", "bert-secret")
	for name, config := range map[string]Config{
		"empty": {}, "no roles": {Users: people().Users}, "no rule in the access file": {Roles: map[string]Role{}},
		"bad hash": {Users: []User{{Name: "a", Password: NewSecret("x")}}, Roles: people().Roles},
	} {
		if err := a.Reload(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if !a.Enabled() || a.Generation() != 1 || !a.CanReceive(bert, "news") || a.CanReceive(bert, "x") {
			t.Errorf("%s: the reload that failed changed something", name)
		}
	}
	if err := a.Reload(Config{}); !errors.Is(err, ErrTurnedOff) {
		t.Errorf("turning off by reload: %v", err)
	}
	// The other way is allowed, and ends what was open.
	b, _ := start(t, Config{}, Options{})
	id, err := b.Open(self, loopback)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(people()); err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(id); !errors.Is(err, ErrNotAuthenticated) || b.CanPublish(id, "x") {
		t.Errorf("an open identity after authentication was configured: %v", err)
	}
}

// TestReloadWhileDeciding runs everything at once, for the race detector.
func TestReloadWhileDeciding(t *testing.T) {
	config := people()
	config.Tries.Burst = 1000
	a, _ := start(t, config, Options{})
	bert := login(t, a, "bert", "bert-secret")
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a.CanReceive(bert, "news")
				bert.Roles()
				_ = a.Authorize(peer, bert, ActionPublish, "x")
				_ = a.Stats()
			}
		})
	}
	for i := range 200 {
		next := people()
		if i%2 == 0 {
			next.Roles["device"] = Role{}
		}
		if err := a.Reload(next); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
	if !a.CanReceive(bert, "news") || !slices.Equal(bert.Roles(), []string{"device"}) {
		t.Error("the last configuration is not the one that decides")
	}
}

func TestHeader(t *testing.T) {
	a, _ := start(t, people(), Options{})
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, good := range []string{basic("anna:anna-secret"), "bASIC  " + basic("anna:anna-secret")[6:]} {
		if id, err := a.Header(t.Context(), peer, []string{good}); err != nil || id.User() != "anna" {
			t.Errorf("%s: %v, %v", good, id, err)
		}
	}
	for _, bad := range [][]string{
		{""}, {"Basic"}, {"Basic !"}, {basic("anna")}, {basic("anna:wrong")}, {"Digest username=anna"}, {"Bearer"},
		{basic("anna:anna-secret"), basic("anna:anna-secret")}, {"Basic " + strings.Repeat("A", 1<<20)},
	} {
		if _, err := a.Header(t.Context(), peer, bad); !errors.Is(err, ErrDenied) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	if _, err := a.Header(t.Context(), peer, nil); !errors.Is(err, ErrNotAuthenticated) {
		t.Errorf("without a header: %v", err)
	}
}

func TestClose(t *testing.T) {
	a, _ := start(t, people(), Options{})
	bert := login(t, a, "bert", "bert-secret")
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := a.Password(t.Context(), peer, "bert", NewSecret("bert-secret")); !errors.Is(err, ErrClosed) {
		t.Errorf("logging in afterwards: %v", err)
	}
	if !a.CanReceive(bert, "news") {
		t.Error("who is in may not go on while the server drains")
	}
}

// TestPanicIsAFailedTry: a panic in a check goes to the caller, and the try is settled.
func TestPanicIsAFailedTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := start(t, people(), Options{})
		a.tries.set(1, time.Hour)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = a.login(t.Context(), peer, MethodToken, func(context.Context, *snapshot) (*principal, error) { panic("x") })
		}()
		if err := a.tries.acquire(t.Context(), block(peer.Addr)); !errors.Is(err, ErrTooManyTries) {
			t.Errorf("the try after a panic: %v", err)
		}
	})
}

// TestPrepare: what is prepared decides nothing until it is installed, and then once.
func TestPrepare(t *testing.T) {
	a, _ := start(t, Config{}, Options{})
	off, err := a.Prepare(Config{})
	if err != nil {
		t.Fatal(err)
	}
	on, err := a.Prepare(people())
	if err != nil || a.Enabled() || a.Generation() != 1 {
		t.Fatalf("preparing: %v, enabled %v, generation %d", err, a.Enabled(), a.Generation())
	}
	on()
	on()
	if !a.Enabled() || a.Generation() != 2 {
		t.Errorf("installing: enabled %v, generation %d", a.Enabled(), a.Generation())
	}
	off() // was prepared while nothing was configured
	if !a.Enabled() || a.Generation() != 2 {
		t.Error("authentication was turned off")
	}
}

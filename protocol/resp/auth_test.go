package resp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// password is everybody's; its hash has the least parameters that package auth accepts.
const (
	password     = "anna-secret"
	passwordHash = "$argon2id$v=19$m=7168,t=5,p=1$c2FsdC1vZi1hbm5hLTEyMzQ$IQ7+to4oWZzkIpaQqw5h8BoRDF8P36HqdPeKoGjVHgI"
)

func user(name string, roles ...string) auth.User {
	return auth.User{Name: name, Password: auth.NewSecret(passwordHash), Roles: roles}
}

// rules are those of people.
func rules() auth.Config {
	return auth.Config{
		Users: []auth.User{user("default", "admin"), user("joe", "foo"), user("eve"), user("ann", "own")},
		Roles: map[string]auth.Role{
			"admin": {Publish: []string{"#"}, Subscribe: []string{"#"}, Admin: true},
			"foo":   {Publish: []string{"foo/#"}, Subscribe: []string{"foo/#"}},
			"own":   {Publish: []string{"users/{user}"}, Subscribe: []string{"users/{user}", "news/+"}},
		},
		Tries: auth.Tries{Burst: 1000},
	}
}

func people(t testing.TB) *auth.Auth {
	t.Helper()
	a, err := auth.New(rules(), auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

const (
	noAuth    = "-NOAUTH Authentication required.\r\n"
	noChannel = "-NOPERM this user has no permissions to access one of the channels used as arguments\r\n"
)

// TestFiltersAreAuthorized is about what Redis does not have: filters, and names in the rules.
func TestFiltersAreAuthorized(t *testing.T) {
	s := serve(t, "", resp.Options{Auth: people(t)}, engine.Limits{})
	c := s.dial()
	c.want("AUTH ann "+password, "+OK\r\n")
	c.want("PUBLISH users/ann x", ":0\r\n")
	c.want("PUBLISH users/joe x", noChannel)
	c.want("PUBSUB NUMSUB users/ann", "*2\r\n$9\r\nusers/ann\r\n:0\r\n")
	for _, denied := range []string{"SUBSCRIBE users/joe", "PSUBSCRIBE users/+", "PSUBSCRIBE users/#", "PSUBSCRIBE users/a*", "PSUBSCRIBE news/#", "PSUBSCRIBE news/*", "PSUBSCRIBE #", "PSUBSCRIBE *", "SUBSCRIBE news/a users/joe"} {
		c.want(denied, noChannel)
	}
	c.want("PSUBSCRIBE news/+", confirmation("psubscribe", "news/+", 1))
	c.want("SUBSCRIBE news/a", confirmation("subscribe", "news/a", 2))
	admin := s.dial()
	admin.want("AUTH "+password, "+OK\r\n")
	admin.want("SUBSCRIBE secret", confirmation("subscribe", "secret", 1))
	other := s.dial()
	other.want("AUTH ann "+password, "+OK\r\n")
	other.want("PUBSUB CHANNELS", "*1\r\n$6\r\nnews/a\r\n") // and not what ann may not see
	other.want("PUBSUB NUMSUB secret", "*2\r\n$6\r\nsecret\r\n:0\r\n")
	if n := s.proto.Stats().Denied; n < 9 {
		t.Errorf("%d denials counted", n)
	}
	if info := other.ask("CLIENT INFO"); !strings.Contains(info, "user=ann ") {
		t.Error(info)
	}
}

// TestRightsAreWithdrawn changes the rules under live connections.
func TestRightsAreWithdrawn(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		a := people(t)
		s := serve(t, driver, resp.Options{Auth: a}, engine.Limits{})
		login := func(name string) *client {
			c := s.dial()
			c.want("AUTH "+name+" "+password, "+OK\r\n")
			return c
		}
		admin, keeps, loses, asks, gone := login("default"), login("ann"), login("joe"), login("joe"), login("eve")
		guest := s.dial()
		guest.want("PING", noAuth)
		keeps.want("SUBSCRIBE news/a", confirmation("subscribe", "news/a", 1))
		loses.want("PSUBSCRIBE foo/#", confirmation("psubscribe", "foo/#", 1))
		asks.want("PSUBSCRIBE foo/*", confirmation("psubscribe", "foo/*", 1))
		changed := rules()
		changed.Users = []auth.User{user("default", "admin"), user("joe", "less"), user("ann", "own")}
		changed.Roles["less"] = auth.Role{Publish: []string{"foo/#"}, Subscribe: []string{"foo/a"}}
		if err := a.Reload(changed); err != nil {
			t.Fatal(err)
		}
		admin.want("PUBLISH news/a x", ":1\r\n")
		keeps.wantReply(message('*', "news/a", "x"))
		admin.want("PUBLISH foo/secret x", ":0\r\n")
		if got := loses.rest(); got != "" {
			t.Errorf("it still got %q", got)
		}
		asks.send(request("PING")) // its subscription is no longer allowed, although no message has shown that
		if got := asks.rest(); got != noAuth && got != "" {
			t.Errorf("it got %q", got)
		}
		gone.send(request("PING")) // a user who is not there any more
		if got := gone.rest(); got != noAuth {
			t.Errorf("it got %q", got)
		}
		guest.want("PING", noAuth)
		keeps.want("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n")
		again := login("joe")
		again.want("PUBLISH foo/x y", ":0\r\n")
		s.closedFor(engine.ReasonDenied)
	})
}

// TestExpiry lets an identity end while it waits for messages, and before its next request. The clock is that of auth.
func TestAnotherUserInheritsNothing(t *testing.T) {
	s := serve(t, "", resp.Options{Auth: people(t)}, engine.Limits{})
	c := s.dial()
	c.ask("HELLO 3 AUTH joe " + password)
	if got := c.ask("SUBSCRIBE foo/a"); !strings.HasSuffix(got, ":1\r\n") {
		t.Fatal(got)
	}
	c.want("AUTH ann "+password, "+OK\r\n") // who may not receive foo/a
	admin := s.dial()
	admin.want("AUTH "+password, "+OK\r\n")
	admin.want("PUBLISH foo/a x", ":0\r\n")
	if got := c.rest(); got != "" {
		t.Errorf("ann got %q", got)
	}
	s.closedFor(engine.ReasonDenied)
}

// TestAuthOff is about who may come in while nothing is configured: those on this machine.
func TestAuthOff(t *testing.T) {
	a, err := auth.New(auth.Config{}, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s := serve(t, "", resp.Options{Auth: a}, engine.Limits{})
	c := s.dial()
	c.want("PUBLISH a b", ":0\r\n")
	c.want("AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n")
	c.want("AUTH default x", "+OK\r\n")
	c.want("ACL WHOAMI", "$7\r\ndefault\r\n")
	if got := c.ask("CONFIG GET save"); got != "*2\r\n$4\r\nsave\r\n$0\r\n\r\n" {
		t.Error(got)
	}
	if err := a.Reload(rules()); err != nil { // a reload may turn it on
		t.Fatal(err)
	}
	c.send(request("PUBLISH", "a", "b"))
	if got := c.rest(); got != noAuth {
		t.Errorf("%q", got)
	}
	c = s.dial()
	c.want("PUBLISH a b", noAuth)
}

// TestTries is refused for having failed too often.
func TestTries(t *testing.T) {
	config := rules()
	config.Tries = auth.Tries{Burst: 2, Every: time.Hour}
	a, err := auth.New(config, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s := serve(t, "", resp.Options{Auth: a}, engine.Limits{})
	c := s.dial()
	c.want("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
	c.want("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
	c.want("AUTH "+password, "-ERR "+auth.ErrTooManyTries.Error()+"\r\n")
	if strings.Contains(s.log.String(), password) || strings.Contains(s.log.String(), "wrong") {
		t.Error("a password was logged")
	}
}

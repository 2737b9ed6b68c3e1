package auth

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Hashes with the least parameters that are accepted, so that tests are quick.
const (
	annaHash = "$argon2id$v=19$m=7168,t=5,p=1$c2FsdC1vZi1hbm5hLTEyMzQ$IQ7+to4oWZzkIpaQqw5h8BoRDF8P36HqdPeKoGjVHgI" // anna-secret
	bertHash = "$argon2id$v=19$m=7168,t=5,p=1$c2FsdC1vZi1iZXJ0LTEyMzQ$C76UNvPa6iN4UcCQiGJlD2iwHsJpK+zyrV3hBRwDdCo" // bert-secret
	cleoHash = "$2a$10$WH/xZV0U8exDr/Il/GOKOellmfwjmiXNIL5CDh9VyIXTCTVhjjy0C"                                      // cleo-secret
)

var peer = Origin{Door: "resp", Addr: netip.MustParseAddr("192.0.2.7")}

// people is a configuration with three users of different rights.
func people() Config {
	return Config{
		Users: []User{
			{Name: "anna", Password: NewSecret(annaHash), Roles: []string{"operator"}},
			{Name: "bert", Password: NewSecret(bertHash), Roles: []string{"device"}},
			{Name: "cleo", Password: NewSecret(cleoHash)},
		},
		Roles: map[string]Role{
			"operator": {Publish: []string{"commands/#"}, Subscribe: []string{"#"}, Admin: true},
			"device":   {Publish: []string{"devices/{user}/#"}, Subscribe: []string{"commands/{user}/+", "news"}},
		},
	}
}

// logged is a log that tests read.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) lines() int { return strings.Count(l.String(), "\n") }

func start(t testing.TB, config Config, opts Options) (*Auth, *logged) {
	t.Helper()
	log := &logged{}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewJSONHandler(log, nil))
	}
	a, err := New(config, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a, log
}

// login logs in with a password that must be right.
func login(t testing.TB, a *Auth, user, password string) Identity {
	t.Helper()
	id, err := a.Password(t.Context(), peer, user, NewSecret(password))
	if err != nil {
		t.Fatalf("logging in as %s: %v", user, err)
	}
	return id
}

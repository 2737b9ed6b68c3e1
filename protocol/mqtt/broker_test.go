package mqtt_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/stream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are what a test wants of the broker.
type settings struct {
	drain time.Duration // how long a life may take to end; 0 is a second
	// users are names and passwords. root may do everything, all others what is below news, and "end".
	users map[string]string
	// verifiers are names, of the role of "root", and passwords for SCRAM.
	verifiers map[string]string
	config    mqtt.Config
	lenient   bool
	limits    engine.Limits
	streams   []stream.Config
	log       *slog.Logger // nil: none
	clock     *spatetest.Clock
}

// A broker is what the suite speaks to: a whole node, with its store in memory.
type broker struct {
	*spatetest.Node
	auth    auth.Config
	address atomic.Pointer[string] // of this life
	web     atomic.Pointer[string] // where it listens for WebSockets
}

func newBroker(t testing.TB, s settings) *broker {
	t.Helper()
	o := spate.Options{MQTT: s.config, Limits: s.limits, Streams: s.streams, DrainTimeout: s.drain, Logger: s.log}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for name, password := range s.users {
		hash, err := auth.HashPassword(auth.NewSecret(password))
		if err != nil {
			t.Fatal(err)
		}
		role := "news"
		if name == "root" {
			role = "all"
		}
		o.Auth.Users = append(o.Auth.Users, auth.User{Name: name, Password: auth.NewSecret(hash), Roles: []string{role}})
	}
	for name, password := range s.verifiers {
		verifier, err := auth.HashSCRAM(auth.NewSecret(password), 4096)
		if err != nil {
			t.Fatal(err)
		}
		o.Auth.Users = append(o.Auth.Users, auth.User{Name: name, SCRAM: auth.NewSecret(verifier), Roles: []string{"all"}})
	}
	if len(o.Auth.Users) > 0 {
		o.Auth.Roles = map[string]auth.Role{
			"all":  {Publish: []string{"#"}, Subscribe: []string{"#"}},
			"news": {Publish: []string{"news/#", "end"}, Subscribe: []string{"news/#", "end"}},
		}
	}
	b := &broker{auth: o.Auth}
	b.Node = spatetest.New(t, spatetest.Options{App: o, Clock: s.clock, Setup: func(app *spate.App) error {
		addr, err := app.ListenWith(spate.Listener{URL: "mqtt://127.0.0.1:0", Strict: !s.lenient})
		if err != nil {
			return err
		}
		b.address.Store(new("mqtt://" + addr.String()))
		addr, err = app.ListenWith(spate.Listener{URL: "ws://127.0.0.1:0", Strict: !s.lenient})
		if err != nil {
			return err
		}
		b.web.Store(new(addr.String()))
		return nil
	}})
	return b
}

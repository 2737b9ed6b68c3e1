package mqtt_test

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

const scramMethod = "SCRAM-SHA-256"

// A scram is the client's side of an exchange (RFC 5802, RFC 7677).
type scram struct{ name, password, bare string }

func (s *scram) first() []byte {
	s.bare = "n=" + s.name + ",r=nonce-of-the-client"
	return []byte("n,," + s.bare)
}

// final is the client's last message, and what the server has to answer.
func (s *scram) final(t *testing.T, challenge []byte) (proof, signature []byte) {
	t.Helper()
	var nonce, salt string
	var iterations int
	for _, field := range strings.Split(string(challenge), ",") {
		switch name, value, _ := strings.Cut(field, "="); name {
		case "r":
			nonce = value
		case "s":
			salt = value
		case "i":
			_, _ = fmt.Sscan(value, &iterations)
		}
	}
	raw, err := base64.StdEncoding.DecodeString(salt)
	if err != nil || iterations < 4096 || !strings.HasPrefix(nonce, "nonce-of-the-client") {
		t.Fatalf("the challenge %q: %v", challenge, err)
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, raw, iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	without := "c=biws,r=" + nonce
	messages := s.bare + "," + string(challenge) + "," + without
	key := digest(salted, "Client Key")
	stored := sha256.Sum256(key)
	for i, b := range digest(stored[:], messages) {
		key[i] ^= b
	}
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(key)),
		[]byte("v=" + base64.StdEncoding.EncodeToString(digest(digest(salted, "Server Key"), messages)))
}

func digest(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func authenticates(method string, data []byte) option {
	return with(func(p *packet.Properties) {
		p.AuthMethod, p.AuthData = method, data
		p.Set(packet.AuthMethod, packet.AuthData)
	})
}

func (c *client) auth(code packet.Code, method string, data []byte) {
	c.t.Helper()
	c.send(packet.AppendAuth(nil, code, (&packet.Properties{AuthMethod: method, AuthData: data}).Set(packet.AuthMethod, packet.AuthData)))
}

// challenged reads an AUTH that asks for more, or says that it is over.
func (c *client) challenged(want packet.Code) []byte {
	c.t.Helper()
	f := c.want(packet.Auth)
	a, err := f.Auth()
	if err != nil {
		c.t.Fatal(err)
	}
	if a.Code != want || a.Properties.AuthMethod != scramMethod || a.Properties.Has(packet.ReasonString) || len(a.Properties.User) > 0 {
		c.t.Errorf("AUTH %s with %+v, want %s", a.Code, a.Properties, want)
	}
	return a.Properties.AuthData
}

// login goes through the exchange up to CONNACK.
func (b *broker) scramLogin(t *testing.T, id string, s *scram, options ...option) *client {
	t.Helper()
	c := b.open(t, packet.V5).hello(id, append(options, authenticates(scramMethod, s.first()))...)
	proof, signature := s.final(t, c.challenged(packet.ContinueAuthentication))
	c.auth(packet.ContinueAuthentication, scramMethod, proof)
	ack := c.accepted()
	if p := ack.Properties; p.AuthMethod != scramMethod || string(p.AuthData) != string(signature) {
		t.Errorf("CONNACK with %+v, want %s and %s", p, scramMethod, signature)
	}
	return c
}

// SCRAM-SHA-256, and again on the same connection while messages go on: [MQTT-4.12.0-2], [MQTT-4.12.0-3], [MQTT-4.12.0-5], [MQTT-3.15.2-1], [MQTT-3.15.2-2], [MQTT-3.15.2-3],
// [MQTT-3.1.2-30], [MQTT-4.12.1-1].
func TestEnhancedAuthentication(t *testing.T) {
	b := newBroker(t, settings{verifiers: map[string]string{"anna": "secret"}})
	s := &scram{name: "anna", password: "secret"}
	c := b.scramLogin(t, "x", s, expiry(100)).sub(1, "a")
	c.say("a", "1", 1)
	c.gets("a=1 q1")
	for i := range 2 {
		c.auth(packet.ReAuthenticate, scramMethod, s.first())
		challenge := c.challenged(packet.ContinueAuthentication)
		c.say("a", "meanwhile", 1)
		c.gets("a=meanwhile q1")
		proof, signature := s.final(t, challenge)
		c.auth(packet.ContinueAuthentication, scramMethod, proof)
		if got := c.challenged(packet.Success); string(got) != string(signature) {
			t.Errorf("round %d: the server signs %q, want %q", i, got, signature)
		}
	}
	c.say("a", "2", 1)
	c.gets("a=2 q1")
	c.kill()
	if c = b.scramLogin(t, "x", s, resume, expiry(100)); !c.connack.SessionPresent {
		t.Error("the session is gone")
	}
}

// What the server does not know, or cannot believe, ends the connection: [MQTT-4.12.0-1], [MQTT-4.12.0-4], [MQTT-3.14.0-1].
func TestEnhancedAuthenticationFails(t *testing.T) {
	b := newBroker(t, settings{verifiers: map[string]string{"anna": "secret"}})
	refuse := func(c *client, codes ...packet.Code) {
		t.Helper()
		ack := c.answer()
		for _, code := range codes {
			if ack.Code == code && !ack.SessionPresent && !ack.Properties.Has(packet.AuthMethod) {
				c.refused()
				return
			}
		}
		t.Errorf("CONNACK %+v, want one of %v", ack, codes)
	}
	for _, method := range []string{"PLAIN", "scram-sha-256", "SCRAM-SHA-1", ""} {
		refuse(b.open(t, packet.V5).hello("x", authenticates(method, nil)), packet.BadAuthenticationMethod, packet.NotAuthorized)
	}
	refuse(b.open(t, packet.V5).hello("x", authenticates(scramMethod, []byte("nonsense"))), packet.NotAuthorized, packet.ProtocolError)
	for _, s := range []*scram{{name: "anna", password: "guess"}, {name: "nobody", password: "secret"}} {
		c := b.open(t, packet.V5).hello("x", authenticates(scramMethod, s.first()))
		proof, _ := s.final(t, c.challenged(packet.ContinueAuthentication))
		c.auth(packet.ContinueAuthentication, scramMethod, proof)
		refuse(c, packet.NotAuthorized)
	}
	s := &scram{name: "anna", password: "secret"}
	for name, instead := range map[string]func(c *client, proof []byte){
		"another method":       func(c *client, proof []byte) { c.auth(packet.ContinueAuthentication, "PLAIN", proof) },
		"another code":         func(c *client, proof []byte) { c.auth(packet.ReAuthenticate, scramMethod, proof) },
		"the success is ours":  func(c *client, proof []byte) { c.send(raw(0xF0)) },
		"a message in between": func(c *client, _ []byte) { c.write(packet.OutPublish{Topic: "a"}) },
		"another CONNECT":      func(c *client, _ []byte) { c.hello("x") },
	} {
		c := b.open(t, packet.V5).hello("x", authenticates(scramMethod, s.first()))
		proof, _ := s.final(t, c.challenged(packet.ContinueAuthentication))
		instead(c, proof)
		f, err := c.read()
		if err == nil {
			if ack, wrong := f.Connack(packet.V5); f.Type != packet.Connack || wrong != nil || !ack.Code.Failed() {
				t.Errorf("%s: %s %x", name, f.Type, f.Body)
			}
			_, err = c.read()
		}
		if !isEnd(err) {
			t.Errorf("%s: the connection goes on: %v", name, err)
		}
	}
}

// A failed re-authentication ends the connection, and so does one that nobody has begun: [MQTT-4.12.1-2], [MQTT-4.12.0-7], [MQTT-4.12.1-1].
func TestReauthenticationFails(t *testing.T) {
	b := newBroker(t, settings{verifiers: map[string]string{"anna": "secret", "bert": "secret"}})
	s := &scram{name: "anna", password: "secret"}
	for name, again := range map[string]*scram{"another password": {name: "anna", password: "guess"}, "another user": {name: "bert", password: "secret"}} {
		c := b.scramLogin(t, name, s)
		c.auth(packet.ReAuthenticate, scramMethod, again.first())
		f := c.frame()
		if f.Type == packet.Auth {
			a, err := f.Auth()
			if err != nil {
				t.Fatal(err)
			}
			proof, _ := again.final(t, a.Properties.AuthData)
			c.auth(packet.ContinueAuthentication, scramMethod, proof)
		} else {
			c.early = append(c.early, f)
		}
		c.refused(packet.NotAuthorized)
	}
	c := b.scramLogin(t, "x", s)
	c.auth(packet.ReAuthenticate, "PLAIN", nil)
	c.refused(packet.ProtocolError, packet.BadAuthenticationMethod)
	c = b.scramLogin(t, "x", s)
	c.auth(packet.ContinueAuthentication, scramMethod, []byte("unasked"))
	c.refused(packet.ProtocolError)
	c = b.connect(t, packet.V5, "y", user("anna", "secret"))
	c.auth(packet.ReAuthenticate, scramMethod, s.first())
	c.refused(packet.ProtocolError)
}

// Who does not ask for enhanced authentication hears nothing of it: [MQTT-4.12.0-6].
func TestNoEnhancedAuthentication(t *testing.T) {
	b := newBroker(t, settings{verifiers: map[string]string{"anna": "secret"}})
	c := b.connect(t, packet.V5, "x", user("anna", "secret")) // CONNACK is the first packet
	if c.connack.Properties.Has(packet.AuthMethod) || c.connack.Properties.Has(packet.AuthData) {
		t.Errorf("CONNACK with %+v", c.connack.Properties)
	}
	if c = b.open(t, packet.V5).hello("x"); c.answer().Properties.Has(packet.AuthMethod) {
		t.Errorf("CONNACK with %+v", c.connack.Properties)
	}
}

// A client that authenticates again while its session is ended, or taken over, has lost its connection, and nobody else anything.
func TestReauthenticateWhileEnded(t *testing.T) {
	b := newBroker(t, settings{verifiers: map[string]string{"anna": "secret"}})
	s := &scram{name: "anna", password: "secret"}
	for i := range 60 {
		c := b.scramLogin(t, "x", s, expiry(100)).sub(1, "a")
		c.auth(packet.ReAuthenticate, scramMethod, s.first())
		proof, _ := s.final(t, c.challenged(packet.ContinueAuthentication))
		c.auth(packet.ContinueAuthentication, scramMethod, proof)
		for range i * 500 {
			runtime.Gosched() // both are at work at once in some of the rounds
		}
		if err := b.App().MQTT().End(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		c.kill()
	}
	if n := b.App().Engine().Stats().Panics; n != 0 {
		t.Errorf("%d connections have panicked", n)
	}
}

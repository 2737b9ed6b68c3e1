package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// guarded is a node with a user anna, whose password is "secret", and what else is given.
func guarded(hash, rest string) string {
	return twoDoors + "limits: {linger_timeout: 10ms}\nauth:\n  users: [{name: anna, password: '" + hash + "', roles: [guest]}]\n" + rest
}

// A reload changes what its users may do from the next request on, and names what needs a restart.
func TestReload(t *testing.T) {
	h := hash(t)
	k := start(t, guarded(h, "  roles: {guest: {publish: [news]}}\n"))
	c, subscriber := k.dial("resp"), k.dial("resp")
	for _, one := range []*client{c, subscriber} {
		if got := one.ask("AUTH anna secret"); got != "+OK" {
			t.Fatal(got)
		}
	}
	if got := c.ask("PUBLISH news x"); got != ":0" {
		t.Errorf("before: %q", got)
	}
	k.rewrite(guarded(h, "  roles: {guest: {publish: [other], admin: true}}\n") + "log: {level: debug}\ndrain_timeout: 5s\nhttp: {pprof: true}\n")
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := c.ask("PUBLISH news x"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("after: %q", got)
	}
	if got := c.ask("PUBLISH other x"); got != ":0" {
		t.Errorf("after: %q", got)
	}
	if status, _ := k.get("/metrics", "anna", "secret"); status != http.StatusOK {
		t.Errorf("a new administrator: %d", status)
	}
	if l := k.log.message(t, "reloaded"); !slices.Equal(words(l["changed"]), []string{"log.level", "auth.roles"}) {
		t.Errorf("%v", l)
	}
	if l := k.log.message(t, "these keys have changed and need a restart"); !slices.Equal(words(l["keys"]), []string{"drain_timeout", "http.pprof"}) {
		t.Errorf("%v", l)
	}
	if k.level.Level() != slog.LevelDebug {
		t.Errorf("the level is %s", k.level.Level())
	}
	// What needs a restart is named until there is one.
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	k.log.message(t, "these keys have changed and need a restart")
}

func words(v any) (words []string) {
	list, _ := v.([]any)
	for _, w := range list {
		words = append(words, w.(string))
	}
	return words
}

// A configuration that is wrong changes nothing, and the log says why.
func TestReloadOfNonsense(t *testing.T) {
	h := hash(t)
	k := start(t, guarded(h, "  roles: {guest: {publish: [news]}}\n"))
	c := k.dial("resp")
	c.ask("AUTH anna secret")
	for _, test := range []struct{ text, want string }{
		{"listen: [", "not YAML"},
		{guarded(h, "  rolls: {}\n"), "auth.rolls: unknown key"},
		{guarded("plain", "  roles: {guest: {publish: [other]}}\n"), "not an argon2id or bcrypt hash"},
		{guarded(h, "  roles: {guest: {publish: [other]}}\n") + "log: {level: loud}\n", "log.level"},
		{twoDoors + "log: {level: debug}\n", "restart the server"}, // authentication is not turned off
	} {
		k.rewrite(test.text)
		if err := k.Reload(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
		l := k.log.message(t, "reloading failed: the old configuration stays in effect")
		if text, _ := l["error"].(string); !strings.Contains(text, test.want) || strings.Contains(text, "plain") {
			t.Errorf("%v", l)
		}
		if got := c.ask("PUBLISH news x"); got != ":0" {
			t.Errorf("the old rules are gone: %q", got)
		}
		if k.level.Level() != slog.LevelInfo {
			t.Errorf("the level is %s", k.level.Level())
		}
	}
}

// Certificates are reloaded while connections with the old one go on.
func TestReloadCertificates(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := writeCertificate(t, dir, "localhost")
			k := start(t, "listen: [resp+tls://127.0.0.1:0, http+tls://127.0.0.1:0]\nengine: "+driver+"\nlimits: {linger_timeout: 10ms}\ntls: {cert: "+cert+", key: "+key+"}\n")
			old := k.dial("resp+tls")
			old.ask("PING")
			serial := func(scheme string) string {
				c := k.dial(scheme).Conn.(*tls.Conn)
				defer c.Close()
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
			}
			before := serial("resp+tls")
			if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := k.Reload(); err == nil {
				t.Error("a certificate that is none was loaded")
			}
			if serial("resp+tls") != before {
				t.Error("a failed reload changed the certificate")
			}
			writeCertificate(t, dir, "localhost")
			if err := k.Reload(); err != nil {
				t.Fatal(err)
			}
			if l := k.log.message(t, "reloaded"); !slices.Equal(words(l["certificates"]), []string{cert}) || l["changed"] == nil {
				t.Errorf("%v", l)
			}
			for _, scheme := range []string{"resp+tls", "http+tls"} {
				if serial(scheme) == before {
					t.Errorf("%s still has the old certificate", scheme)
				}
			}
			if got := old.ask("PING"); got != "+PONG" {
				t.Errorf("a connection with the old certificate: %q", got)
			}
			old.Close()
		})
	}
}

// One listener may have a certificate of its own, and want one of its clients.
func TestListenerOfItsOwn(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), "shared")
	own, ownKey := writeCertificate(t, t.TempDir(), "own")
	k := start(t, "listen:\n  - resp+tls://127.0.0.1:0\n  - url: http+tls://127.0.0.1:0\n    tls: {cert: "+own+", key: "+ownKey+", client_ca: "+own+", require_client: true, min_version: '1.3'}\n"+
		"limits: {linger_timeout: 10ms}\ntls: {cert: "+cert+", key: "+key+"}\n")
	name := func(c *x509.Certificate) string { return c.Subject.CommonName }
	c := k.dial("resp+tls").Conn.(*tls.Conn)
	if err := c.Handshake(); err != nil || name(c.ConnectionState().PeerCertificates[0]) != "shared" {
		t.Error(err, c.ConnectionState().PeerCertificates)
	}
	raw := k.raw("http+tls")
	client := tls.Client(raw.Conn, &tls.Config{InsecureSkipVerify: true})
	if _, err := client.Write([]byte("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")); err == nil {
		if _, err = client.Read(make([]byte, 1)); err == nil {
			t.Error("a client without a certificate was served")
		}
	}
	c.Close()
}

// A data directory belongs to one node.
func TestDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	k := start(t, twoDoors+"data: "+dir+"\n")
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	other, err := Load(Sources{File: file(t, twoDoors+"data: "+dir+"\n")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(other, Options{}); !errors.Is(err, errLocked) {
		t.Errorf("a second node: %v", err)
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	n, err := New(other, Options{})
	if err != nil {
		t.Fatalf("after the first has stopped: %v", err)
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
}

func TestBanner(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), "localhost")
	for _, test := range []struct{ name, config, want string }{
		{"the usual", "listen: [resp://127.0.0.1:0, http://127.0.0.1:0]", `spate v1 listens on
  resp://127.0.0.1:A
  http://127.0.0.1:B
Data is in spate-data. Authentication is off: only this machine can connect. Try:
  redis-cli -p A XADD orders/7 '*' item tea   # on disk before the answer
  curl http://127.0.0.1:B/v1/streams   # what is kept
  redis-cli -p A XRANGE orders/7 - +
`},
		{"guarded", "listen: [resp+tls://0.0.0.0:0, http+tls://127.0.0.1:0]\ntls: {cert: " + cert + ", key: " + key + "}\nauth: {roles: {a: {}}, users: [{name: anna, password: '" + hash(t) + "'}]}", `spate v1 listens on
  resp+tls://0.0.0.0:A
  http+tls://127.0.0.1:B
Data is in spate-data. Authentication is on. Try:
  redis-cli -h localhost -p A --tls --cacert CERT --user anna --askpass PING
  curl --cacert CERT https://localhost:B/readyz
`},
		{"an administrator, and rights", "listen: ['resp://127.0.0.1:0', 'http://127.0.0.1:0', 'mqtts://127.0.0.1:0']\ntls: {cert: " + cert + ", key: " + key + ", require_client: true, client_ca: " + cert + "}\n" +
			"auth: {roles: {reader: {subscribe: ['news/{user}/#'], publish: ['in/+']}, boss: {admin: true}}, users: [{name: anna, password: '" + hash(t) + "', roles: [reader]}, {name: root, password: '" + hash(t) + "', roles: [boss]}]}", `spate v1 listens on
  resp://127.0.0.1:A
  http://127.0.0.1:B
  mqtts://127.0.0.1:C
Data is in spate-data. Authentication is on. Try:
  redis-cli -p A --user anna --askpass XADD 'in/1' '*' item tea   # on disk before the answer
  curl -u root http://127.0.0.1:B/v1/streams   # what is kept
  mosquitto_sub -h localhost -p C --cafile CERT --cert CLIENT.pem --key CLIENT.key -u anna -P … -i anna -t 'news/anna/#' -v
`},
		{"nobody who administers", "listen: ['http://127.0.0.1:0']\nauth: {roles: {reader: {subscribe: ['news/{user}/#']}}, users: [{name: anna, password: '" + hash(t) + "', roles: [reader]}]}", `spate v1 listens on
  http://127.0.0.1:A
Data is in spate-data. Authentication is on. Try:
  curl -N -u anna 'http://127.0.0.1:A/v1/subscribe?filter=news%2Fanna%2F%23'
  curl http://127.0.0.1:A/readyz
`},
		{"MQTT", "listen: [mqtt://127.0.0.1:0]", `spate v1 listens on
  mqtt://127.0.0.1:A
Data is in spate-data. Authentication is off: only this machine can connect. Try:
  mosquitto_sub -p A -t 'sensors/#' -v
  mosquitto_pub -p A -t sensors/hall/temperature -m 21.5 -q 1
`},
		{"MQTT, guarded", "listen: [mqtt://127.0.0.1:0]\nauth: {roles: {device: {clients: ['{user}/*'], publish: ['sensors/{client}/#', 'sensors/{user}/#']}, all: {subscribe: ['#']}}, " +
			"users: [{name: fan, password: '" + hash(t) + "', roles: [device]}, {name: anna, password: '" + hash(t) + "', roles: [all]}]}", `spate v1 listens on
  mqtt://127.0.0.1:A
Data is in spate-data. Authentication is on. Try:
  mosquitto_sub -p A -u anna -P … -i anna -t 'sensors/#' -v
  mosquitto_pub -p A -u fan -P … -i fan/1 -t 'sensors/fan/1' -m 21.5 -q 1
`},
		{"echo", "listen: [echo://127.0.0.1:0]", `spate v1 listens on
  echo://127.0.0.1:A
Data is in spate-data. Authentication is off: only this machine can connect. Try:
  echo hello | nc -N 127.0.0.1 A
`},
		{"echo for everybody", "listen: [{url: 'echo://0.0.0.0:0', insecure: true}, resp://127.0.0.1:0]", `spate v1 listens on
  echo://0.0.0.0:A
  resp://127.0.0.1:B
Data is in spate-data. Authentication is off: everybody who can reach echo://0.0.0.0:A may use it; to the rest, only this machine can connect. Try:
  echo hello | nc -N 127.0.0.1 A
  redis-cli -p B XADD orders/7 '*' item tea   # on disk before the answer
  redis-cli -p B XRANGE orders/7 - +
`},
		{"IPv6", "listen: ['resp://[::1]:0']", `spate v1 listens on
  resp://[::1]:A
Data is in spate-data. Authentication is off: only this machine can connect. Try:
  redis-cli -h ::1 -p A XADD orders/7 '*' item tea   # on disk before the answer
  redis-cli -h ::1 -p A XRANGE orders/7 - +
  redis-cli -h ::1 -p A PSUBSCRIBE 'news/*'
`},
		{"another address", "listen: ['resp://127.0.0.2:0']", `spate v1 listens on
  resp://127.0.0.2:A
Data is in spate-data. Authentication is off: only this machine can connect. Try:
  redis-cli -h 127.0.0.2 -p A XADD orders/7 '*' item tea   # on disk before the answer
  redis-cli -h 127.0.0.2 -p A XRANGE orders/7 - +
  redis-cli -h 127.0.0.2 -p A PSUBSCRIBE 'news/*'
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := start(t, test.config+"\n")
			var out bytes.Buffer
			if err := k.Banner(&out, "v1"); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(out.String(), cert, "CERT")
			for i, addr := range k.Addrs() {
				_, port, _ := strings.Cut(addr.String(), "]")
				port = port[strings.LastIndex(port, ":")+1:]
				if port == "" {
					port = addr.String()[strings.LastIndex(addr.String(), ":")+1:]
				}
				got = strings.ReplaceAll(got, port, string(rune('A'+i)))
			}
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestTextLog(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := newLogger(&out, true, level)
	log.Debug("not shown")
	log.Info("connection closed", "reason", "idle-timeout", "age", 1500*time.Millisecond)
	log.With("listener", "resp").WithGroup("g").Warn("a b", "k", "v w")
	level.Set(slog.LevelDebug)
	log.Debug("shown")
	want := []string{
		"INFO  connection closed reason=idle-timeout age=1.5s",
		`WARN  a b listener=resp g.k="v w"`,
		"DEBUG shown",
	}
	for i, line := range slices.Collect(strings.Lines(out.String())) {
		if got := strings.TrimSpace(line[len("15:04:05 "):]); i >= len(want) || got != want[i] {
			t.Errorf("%q", got)
		}
	}
	out.Reset()
	newLogger(&out, false, level).Info("drained", "took", 1500*time.Millisecond)
	if !strings.Contains(out.String(), `"msg":"drained","took":"1.5s"`) {
		t.Error(out.String())
	}
}

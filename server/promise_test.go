package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

const twoDoors = "listen: [resp://127.0.0.1:0, http://127.0.0.1:0]\n"

// Shutdown: stop accepting, finish, flush, close, within the drain timeout. Every event that a publisher was told had been
// received reaches its subscriber, although nobody reads while the node drains.
func TestPromiseShutdown(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			dir := t.TempDir()
			k := start(t, twoDoors+"engine: "+driver+"\nlimits: {linger_timeout: 5s}\ndata: "+dir+"\n")
			resp, web := k.addr("resp"), k.addr("http")
			subscriber, publisher := k.dial("resp"), k.dial("resp")
			subscriber.ask("SUBSCRIBE news")
			const events = 1000
			payload := strings.Repeat("x", 100)
			publisher.send("%s", strings.Repeat("PUBLISH news "+payload+"\r\n", events))
			received := 0
			for received < events/2 {
				if got := publisher.line(); got != ":1" {
					t.Fatalf("PUBLISH was answered %q", got)
				}
				received++
			}
			stopped := make(chan error, 1)
			go func() { stopped <- k.stop() }()
			received += strings.Count(publisher.rest(), ":1\r\n")
			publisher.Close()
			if got := strings.Count(subscriber.rest(), payload); got < received {
				t.Errorf("%d events arrived of %d that were received", got, received)
			}
			subscriber.Close()
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			k.log.message(t, "drained")
			for _, addr := range []net.Addr{resp, web} {
				if c, err := net.Dial("tcp", addr.String()); err == nil {
					c.Close()
					t.Errorf("%s still accepts", addr)
				}
			}
			again := start(t, fmt.Sprintf("listen: [resp://%s, http://%s]\ndata: %s\n", resp, web, dir))
			again.wantServed()
		})
	}
}

// Shutdown within the drain timeout: a client that never reads is cut off when it is over, and Run says so.
func TestPromiseShutdownCutsOff(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			k := start(t, twoDoors+"engine: "+driver+"\ndrain_timeout: 50ms\nresp: {overflow: drop-newest}\nlimits: {buffered: 4MiB}\n")
			stuck, publisher := k.dial("resp"), k.dial("resp")
			shrink(t, stuck)
			stuck.ask("SUBSCRIBE news")
			fill(k, publisher, "news")
			publisher.Close()
			if err := k.stop(); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("stopping with a client that does not read: %v", err)
			}
		})
	}
}

// shrink makes the buffer small in which a client's unread bytes wait.
func shrink(t *testing.T, c *client) {
	t.Helper()
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
}

// fill publishes until the kernel takes no more for a subscriber that does not read, or it has been cut off. Drops alone do not
// show that: fifty in a row take less time than the goroutine that writes may wait for a processor, and it may then be rid of
// everything. Nothing taken for 200 ms does.
func fill(k *kit, publisher *client, subject string) {
	k.t.Helper()
	payload := strings.Repeat("x", 64<<10)
	start := time.Now()
	for taken := start; time.Since(taken) < 200*time.Millisecond; {
		publisher.send("*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(subject), subject, len(payload), payload)
		if publisher.line() != ":0" {
			taken = time.Now()
		}
		if time.Since(start) > patience {
			k.t.Fatal("the subscriber never had more than it could take")
		}
	}
}

// No surprise: what is exposed off loopback is off until configured, for every door, in the file and at the command line.
func TestPromiseNoSurprise(t *testing.T) {
	for _, url := range []string{"resp://0.0.0.0:0", "http://0.0.0.0:0", "http://:0", "resp://[::]:0", "echo://0.0.0.0:0"} {
		if _, err := Load(Sources{Flags: []Flag{{Name: "--listen", Key: "listen", Values: []string{url}}}}); err == nil || !strings.Contains(err.Error(), "refusing to listen on "+url) {
			t.Errorf("%s: %v", url, err)
		}
	}
	// With access rules, what no rule allows is denied, at every door.
	k := start(t, "listen: [resp://0.0.0.0:0, http://0.0.0.0:0]\nlimits: {linger_timeout: 10ms}\nauth:\n  users: [{name: anna, password: '"+hash(t)+"', roles: [guest]}]\n  roles: {guest: {subscribe: [news]}}\n")
	k.log.message(t, "passwords and data cross the network in the clear: use +tls")
	c := k.dial("resp")
	if got := c.ask("PUBLISH news x"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("before authentication: %q", got)
	}
	if got := c.ask("AUTH anna secret"); got != "+OK" {
		t.Errorf("authentication: %q", got)
	}
	if got := c.ask("PUBLISH news x"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("without a rule: %q", got)
	}
	for _, path := range []string{"/metrics", "/debug/", "/debug/connections", "/debug/tasks", "/debug/pprof/"} {
		if status, _ := k.get(path); status != http.StatusUnauthorized && status != http.StatusNotFound {
			t.Errorf("%s for nobody: %d", path, status)
		}
		if status, _ := k.get(path, "anna", "secret"); status != http.StatusForbidden && status != http.StatusNotFound {
			t.Errorf("%s for somebody who may not: %d", path, status)
		}
	}
	k.log.message(t, "access denied")
}

// Limits: each is reached, by every driver, by somebody who has not authenticated; the offender is closed with a coded reason that
// is logged and counted; others are served.
func TestPromiseLimits(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), "localhost")
	for _, test := range []struct {
		name, config string
		door, scheme string
		attack       func(k *kit, c *client)
		want         engine.Reason
	}{
		{"connections", "limits: {connections: 3}", "engine", "resp", crowd, engine.ReasonTooMany},
		{"per_address", "limits: {per_address: 3}", "engine", "resp", crowd, engine.ReasonTooManyAddress},
		{"message", "limits: {message: 2KiB}", "engine", "resp", func(_ *kit, c *client) {
			c.send("*1\r\n$1000000\r\n%s", strings.Repeat("x", 10000))
		}, engine.ReasonProtocol},
		{"message, inline", "limits: {message: 2KiB}", "engine", "resp", func(_ *kit, c *client) {
			c.send("%s", strings.Repeat("x", 10000))
		}, engine.ReasonTooLarge},
		{"first_timeout", "limits: {first_timeout: 100ms}", "engine", "resp", func(*kit, *client) {}, engine.ReasonFirstTimeout},
		{"request_timeout", "limits: {request_timeout: 100ms}", "engine", "resp", func(_ *kit, c *client) {
			c.ask("PING")
			c.send("*1\r\n$4\r\nPI")
		}, engine.ReasonRequestTimeout},
		{"idle_timeout", "limits: {idle_timeout: 100ms}\nlog: {level: debug}", "engine", "resp", func(_ *kit, c *client) { c.ask("PING") }, engine.ReasonIdleTimeout},
		{"handshake_timeout", "limits: {handshake_timeout: 100ms}", "engine", "resp+tls", func(*kit, *client) {}, engine.ReasonHandshakeTimeout},
		{"buffered, for a subscriber", "limits: {buffered: 64KiB}", "engine", "resp", slowSubscriber, engine.ReasonOverflow},
		{"buffered_total", "limits: {buffered_total: 1MiB, message: 512KiB}", "engine", "resp", func(k *kit, _ *client) {
			for range 20 { // who has not authenticated may not send this much; here nobody has to
				_, _ = io.WriteString(k.raw("resp"), "*1\r\n$500000\r\n"+strings.Repeat("x", 200_000))
			}
		}, engine.ReasonMemory},
		{"write_timeout", "limits: {write_timeout: 100ms, buffered: 256KiB}\nresp: {overflow: drop-newest}", "engine", "resp", slowSubscriber, engine.ReasonWriteTimeout},
		{"http.limits.connections", "http: {limits: {connections: 3}}", "http", "http", crowd, engine.ReasonTooMany},
		{"http.limits.per_address", "http: {limits: {per_address: 3}}", "http", "http", crowd, engine.ReasonTooManyAddress},
		{"http.limits.header", "http: {limits: {header: 2KiB}}", "http", "http", func(_ *kit, c *client) {
			c.send("GET / HTTP/1.1\r\nX: %s\r\n", strings.Repeat("x", 10000))
		}, engine.ReasonTooLarge},
		{"http.limits.header_timeout", "http: {limits: {header_timeout: 100ms}}", "http", "http", func(_ *kit, c *client) {
			c.send("GET / HT")
		}, engine.ReasonRequestTimeout},
		{"http.limits.handshake_timeout", "http: {limits: {handshake_timeout: 100ms}}", "http", "http+tls", func(*kit, *client) {}, engine.ReasonHandshakeTimeout},
	} {
		for _, driver := range drivers() {
			t.Run(test.name+"/"+driver, func(t *testing.T) {
				config := fmt.Sprintf("listen: [resp://127.0.0.1:0, http://127.0.0.1:0, resp+tls://127.0.0.1:0, http+tls://127.0.0.1:0]\nengine: %s\ntls: {cert: %s, key: %s}\n", driver, cert, key)
				if strings.HasPrefix(test.config, "limits: {") {
					config += "limits: {linger_timeout: 10ms, " + strings.TrimPrefix(test.config, "limits: {")
				} else {
					config += test.config + "\nlimits: {linger_timeout: 10ms}"
				}
				if !strings.Contains(config, "log:") {
					config += "\nlog: {level: debug}"
				}
				k := start(t, config)
				var c *client
				if scheme, secure := strings.CutSuffix(test.scheme, "+tls"); secure {
					c = k.raw(scheme + "+tls")
				} else {
					c = k.dial(test.scheme)
				}
				test.attack(k, c)
				c.t = t
				k.wantClosed(test.door, test.want)
				if test.want != engine.ReasonTooMany && test.want != engine.ReasonTooManyAddress {
					k.wantServed()
				}
			})
		}
	}
}

// raw connects without the TLS that the listener expects.
func (k *kit) raw(scheme string) *client {
	k.t.Helper()
	addr := k.addr(scheme)
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { c.Close() })
	return &client{Conn: c, t: k.t}
}

// crowd comes five at a time, two more than may, and two leave again so that there is room for the metrics.
func crowd(k *kit, c *client) {
	var all []*client
	scheme := "resp"
	if c.RemoteAddr().String() == k.addr("http").String() {
		scheme = "http"
	}
	for range 4 {
		all = append(all, k.dial(scheme))
	}
	refused := 0
	for _, one := range all[2:] {
		if one.rest() == "" {
			refused++
		}
	}
	if refused != 2 {
		k.t.Errorf("%d were refused, want 2", refused)
	}
	c.Close()
	all[0].Close()
	k.wantLogged(engine.ReasonPeer)
	k.wantLogged(engine.ReasonPeer)
}

// slowSubscriber subscribes and does not read.
func slowSubscriber(k *kit, c *client) {
	shrink(k.t, c)
	c.ask("SUBSCRIBE news")
	publisher := k.dial("resp")
	fill(k, publisher, "news")
	publisher.Close()
}

// Isolation: a hostile client ends its own connection with a coded reason, and no other client notices anything.
func TestPromiseIsolation(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), "localhost")
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			k := start(t, fmt.Sprintf("listen: [resp://127.0.0.1:0, http://127.0.0.1:0, resp+tls://127.0.0.1:0, echo://127.0.0.1:0]\nengine: %s\n"+
				"tls: {cert: %s, key: %s}\nlimits: {message: 64KiB, linger_timeout: 10ms, handshake_timeout: 200ms}\n", driver, cert, key))
			var others sync.WaitGroup
			enough := make(chan struct{})
			for range 4 {
				c := k.dial("resp")
				others.Go(func() {
					for {
						select {
						case <-enough:
							return
						default:
						}
						if _, err := io.WriteString(c, "PING\r\n"); err != nil {
							t.Errorf("another client: %v", err)
							return
						}
						if got, err := c.r.ReadString('\n'); got != "+PONG\r\n" {
							t.Errorf("another client was answered %q, %v", got, err)
							return
						}
					}
				})
			}
			for _, test := range []struct {
				door, scheme, text string
				want               engine.Reason
			}{
				{"engine", "resp", "*-5\r\n*2\r\n$-7\r\n", engine.ReasonProtocol},
				{"engine", "resp", "*1\r\n$99999999999999999999\r\n", engine.ReasonProtocol},
				{"engine", "resp", "*99999999\r\n", engine.ReasonProtocol},
				{"engine", "resp", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", engine.ReasonProtocol},
				{"engine", "resp", strings.Repeat("\xff", 100_000), engine.ReasonTooLarge},
				{"engine", "resp+tls", "PING\r\n", engine.ReasonHandshake},
				{"http", "http", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", engine.ReasonProtocol},
				{"http", "http", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<20), engine.ReasonTooLarge},
			} {
				c := k.raw(test.scheme)
				_, _ = io.WriteString(c, test.text) // the server may have closed already
				k.wantClosed(test.door, test.want)
			}
			close(enough)
			others.Wait()
			k.wantServed()
		})
	}
}

// Secrets are not in the log, in metrics or on the debug pages, wherever clients put them.
func TestSecretsStaySecret(t *testing.T) {
	const secret = "hunter2-hunter2"
	var out syncBuffer
	path := file(t, twoDoors+"data: '"+t.TempDir()+"'\nlog: {level: debug}\nlimits: {linger_timeout: 10ms}\nauth:\n  users: [{name: root, password: '"+hash(t)+"', roles: [all]}]\n  roles: {all: {admin: true}}\n")
	from := Sources{File: path}
	settings, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	k := startWith(t, settings, Options{Sources: from, Log: &out})
	c := k.dial("resp")
	for _, line := range []string{"AUTH " + secret, "AUTH root " + secret, "AUTH " + secret + " x", "HELLO 3 AUTH root " + secret, secret, "PUBLISH a " + secret} {
		c.ask(line)
	}
	for _, path := range []string{"/metrics", "/debug/connections", "/debug/tasks?format=json"} {
		k.get(path, "root", secret)
		k.get(path, secret, "x")
		if _, body := k.get(path, "root", "secret"); strings.Contains(body, secret) {
			t.Errorf("%s shows a secret", path)
		}
	}
	c.Close()
	if err := k.stop(); err != nil {
		t.Error(err)
	}
	if text := out.String(); strings.Contains(text, secret) || strings.Contains(text, "argon2id") {
		t.Errorf("the log shows a secret:\n%s", text)
	}
}

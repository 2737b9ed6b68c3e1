package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// connect makes a go-redis client, which the end of the test closes.
func connect(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	o.MaxRetries = -1
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Every version of the protocol, over TCP, a Unix socket and TLS.
func TestGoRedis(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	socket := t.TempDir() + "/resp.sock"
	n := serve(t, "--listen", "resp://127.0.0.1:0", "--listen", "resp+tls://127.0.0.1:0", "--listen", "resp+unix://"+socket, "--tls-cert", cert, "--tls-key", key)
	for name, o := range map[string]redis.Options{
		"tcp":  {Addr: n.urls["resp"]},
		"unix": {Network: "unix", Addr: socket},
		"tls":  {Addr: n.urls["resp+tls"], TLSConfig: trusting(t, cert)},
	} {
		for _, version := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s/RESP%d", name, version), func(t *testing.T) {
				o := o
				o.Protocol = version
				c := connect(t, &o)
				ctx := t.Context()
				if got, err := c.Ping(ctx).Result(); err != nil || got != "PONG" {
					t.Errorf("PING: %q, %v", got, err)
				}
				long := strings.Repeat("x", 100_000)
				if got, err := c.Echo(ctx, long).Result(); err != nil || got != long {
					t.Errorf("ECHO of %d bytes: %d, %v", len(long), len(got), err)
				}
				if at, err := c.Time(ctx).Result(); err != nil || time.Since(at).Abs() > time.Minute {
					t.Errorf("TIME: %s, %v", at, err)
				}
				if info, err := c.Info(ctx).Result(); err != nil || !strings.Contains(info, "# Clients") {
					t.Errorf("INFO: %v", err)
				}
				if n, err := c.Command(ctx).Result(); err != nil || len(n) < 10 {
					t.Errorf("COMMAND: %d, %v", len(n), err)
				}
				if err := c.Do(ctx, "NOSUCH", "x").Err(); err == nil || !strings.HasPrefix(err.Error(), "ERR unknown command 'NOSUCH'") {
					t.Errorf("an unknown command: %v", err)
				}
				pipelined(t, c)
				published(t, c)
			})
		}
	}
}

// pipelined sends a thousand requests at once.
func pipelined(t *testing.T, c *redis.Client) {
	t.Helper()
	const requests = 1000
	replies, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range requests {
			p.Echo(t.Context(), i)
		}
		return nil
	})
	if err != nil || len(replies) != requests {
		t.Fatalf("%d replies, %v", len(replies), err)
	}
	for i, r := range replies {
		if got := r.(*redis.StringCmd).Val(); got != fmt.Sprint(i) {
			t.Fatalf("reply %d is %q", i, got)
		}
	}
}

// published sends events to subscribers of a channel, of a glob and of a filter.
func published(t *testing.T, c *redis.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	plain, glob, filter := c.Subscribe(ctx, "news/a"), c.PSubscribe(ctx, "news/?"), c.PSubscribe(ctx, "news/+")
	for _, s := range []*redis.PubSub{plain, glob, filter} {
		defer s.Close()
		if _, err := s.Receive(ctx); err != nil {
			t.Fatalf("subscribing: %v", err)
		}
	}
	const events = 100
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range events {
			if n, err := c.Publish(ctx, "news/a", i).Result(); err != nil || n != 3 {
				t.Errorf("PUBLISH: %d, %v", n, err)
				return
			}
		}
	})
	for _, s := range []*redis.PubSub{plain, glob, filter} {
		for i := range events {
			m, err := s.ReceiveMessage(ctx)
			if err != nil || m.Channel != "news/a" || m.Payload != fmt.Sprint(i) {
				t.Fatalf("event %d: %+v, %v", i, m, err)
			}
		}
	}
	publishing.Wait()
	if got, err := c.PubSubNumSub(ctx, "news/a").Result(); err != nil || got["news/a"] != 1 {
		t.Errorf("PUBSUB NUMSUB: %v, %v", got, err)
	}
}

func TestGoRedisAuthentication(t *testing.T) {
	n := serve(t, "--config", write(t, "spate.yaml", guarded(t, "[resp://127.0.0.1:0]")))
	ctx := t.Context()
	for _, version := range []int{2, 3} {
		nobody := connect(t, &redis.Options{Addr: n.urls["resp"], Protocol: version})
		if err := nobody.Ping(ctx).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
			t.Errorf("nobody: %v", err)
		}
		wrong := connect(t, &redis.Options{Addr: n.urls["resp"], Protocol: version, Username: "anna", Password: "wrong"})
		if err := wrong.Ping(ctx).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
			t.Errorf("a wrong password: %v", err)
		}
		anna := connect(t, &redis.Options{Addr: n.urls["resp"], Protocol: version, Username: "anna", Password: "secret"})
		if err := anna.Publish(ctx, "news/a", "x").Err(); err != nil {
			t.Errorf("anna, within her rights: %v", err)
		}
		if err := anna.Publish(ctx, "other", "x").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("anna, beyond her rights: %v", err)
		}
		if err := anna.ClientList(ctx).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("anna, administering: %v", err)
		}
		root := connect(t, &redis.Options{Addr: n.urls["resp"], Protocol: version, Username: "root", Password: "secret", ClientName: "boss"})
		if list, err := root.ClientList(ctx).Result(); err != nil || !strings.Contains(list, "name=boss") {
			t.Errorf("root: %q, %v", list, err)
		}
	}
}

// A client that reconnects finds the server again after it was killed, and subscribes again.
func TestGoRedisSurvivesARestart(t *testing.T) {
	n := local(t)
	addr := n.urls["resp"]
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: 100, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 50 * time.Millisecond})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := c.Subscribe(ctx, "news")
	defer s.Close()
	if _, err := s.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := n.exit(); code != -1 {
		t.Errorf("exit code %d after kill -9", code)
	}
	serve(t, "--listen", "resp://"+addr)
	if got, err := c.Ping(ctx).Result(); err != nil || got != "PONG" {
		t.Errorf("PING after the restart: %q, %v", got, err)
	}
	var publishing sync.WaitGroup
	defer publishing.Wait()
	heard, stop := context.WithCancel(ctx)
	defer stop()
	publishing.Go(func() {
		for heard.Err() == nil {
			_ = c.Publish(heard, "news", "again").Err() // until the subscriber is back
		}
	})
	for {
		m, err := s.ReceiveMessage(ctx)
		if err == nil && m.Payload == "again" {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("after the restart: %v, %v", m, err)
		}
	}
}

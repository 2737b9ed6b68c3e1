package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"
)

// rueidis pipelines by itself and speaks RESP3 with HELLO, CLIENT SETINFO and push messages on one connection.
func TestRueidis(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	n := serve(t, "--listen", "resp://127.0.0.1:0", "--listen", "resp+tls://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	for name, o := range map[string]rueidis.ClientOption{
		"RESP3":      {InitAddress: []string{n.urls["resp"]}, DisableCache: true},
		"RESP2":      {InitAddress: []string{n.urls["resp"]}, DisableCache: true, AlwaysRESP2: true},
		"RESP3, TLS": {InitAddress: []string{n.urls["resp+tls"]}, DisableCache: true, TLSConfig: trusting(t, cert)},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := rueidis.NewClient(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if got, err := c.Do(ctx, c.B().Ping().Build()).ToString(); err != nil || got != "PONG" {
				t.Errorf("PING: %q, %v", got, err)
			}
			var asking sync.WaitGroup
			for i := range 50 {
				asking.Go(func() {
					for j := range 20 {
						want := fmt.Sprintf("%d-%d", i, j)
						if got, err := c.Do(ctx, c.B().Echo().Message(want).Build()).ToString(); err != nil || got != want {
							t.Errorf("ECHO %s: %q, %v", want, got, err)
							return
						}
					}
				})
			}
			asking.Wait()
			rueidisPublished(ctx, t, c)
		})
	}
}

// rueidisPublished receives events by a callback while the same client publishes them.
func rueidisPublished(ctx context.Context, t *testing.T, c rueidis.Client) {
	t.Helper()
	dedicated, release := c.Dedicate()
	defer release()
	const events = 100
	got := make(chan string, events)
	subscribed := make(chan struct{})
	failed := dedicated.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { got <- m.Pattern + " " + m.Channel + " " + m.Message },
		OnSubscription: func(rueidis.PubSubSubscription) { close(subscribed) },
	})
	if err := dedicated.Do(ctx, dedicated.B().Psubscribe().Pattern("sensors/+/temperature").Build()).Error(); err != nil {
		t.Fatalf("PSUBSCRIBE: %v", err)
	}
	select {
	case <-subscribed:
	case <-ctx.Done():
		t.Fatal("no confirmation of the subscription")
	}
	for i := range events {
		if err := c.Do(ctx, c.B().Publish().Channel("sensors/hall/temperature").Message(fmt.Sprint(i)).Build()).Error(); err != nil {
			t.Fatalf("PUBLISH: %v", err)
		}
	}
	for i := range events {
		select {
		case m := <-got:
			if want := fmt.Sprintf("sensors/+/temperature sensors/hall/temperature %d", i); m != want {
				t.Fatalf("got %q, want %q", m, want)
			}
		case err := <-failed:
			t.Fatalf("the subscription ended: %v", err)
		case <-ctx.Done():
			t.Fatalf("event %d does not come", i)
		}
	}
}

func TestRueidisAuthentication(t *testing.T) {
	n := serve(t, "--config", write(t, "spate.yaml", guarded(t, "[resp://127.0.0.1:0]")))
	if c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{n.urls["resp"]}, DisableCache: true, Username: "anna", Password: "wrong"}); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password: %v, %v", c, err)
	}
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{n.urls["resp"]}, DisableCache: true, Username: "anna", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(t.Context(), c.B().Publish().Channel("news/a").Message("x").Build()).Error(); err != nil {
		t.Errorf("within her rights: %v", err)
	}
	if err := c.Do(t.Context(), c.B().Publish().Channel("other").Message("x").Build()).Error(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("beyond her rights: %v", err)
	}
}

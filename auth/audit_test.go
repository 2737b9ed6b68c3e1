package auth

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuditLine(t *testing.T) {
	a, log := start(t, people(), Options{})
	id := login(t, a, "bert", "bert-secret")
	_ = a.Authorize(peer, id, ActionPublish, "commands/bert/stop\n\x1b[2J"+strings.Repeat("x", 1000))
	line := log.String()
	for _, want := range []string{`"msg":"access denied"`, `"door":"resp"`, `"addr":"192.0.2.7"`, `"user":"bert"`, `"action":"publish"`, `"target":"commands/bert/stop??[2J`, `"reason":"no access rule allows it"`} {
		if !strings.Contains(line, want) {
			t.Errorf("the audit line lacks %s: %s", want, line)
		}
	}
	if len(line) > 600 || log.lines() != 1 {
		t.Errorf("the audit is %d bytes in %d lines", len(line), log.lines())
	}
}

// TestAuditHoldsNoSecret: nothing that somebody typed while logging in is logged.
func TestAuditHoldsNoSecret(t *testing.T) {
	a, log := start(t, people(), Options{})
	const secret = "s3cr3t-text"
	ctx := t.Context()
	var texts []string
	for _, try := range []func() error{
		func() error { _, err := a.Password(ctx, peer, secret, NewSecret(secret)); return err },
		func() error { _, err := a.Password(ctx, peer, "anna", NewSecret(secret)); return err },
		func() error { _, err := a.Token(ctx, peer, NewSecret(secret)); return err },
		func() error { _, err := a.Header(ctx, peer, []string{"Bearer " + secret}); return err },
		func() error { _, err := a.Header(ctx, peer, []string{secret}); return err },
		func() error { _, err := a.Header(ctx, peer, []string{"Basic " + secret}); return err },
		func() error { _, err := a.Header(ctx, peer, []string{"Bearer a", "Bearer " + secret}); return err },
	} {
		err := try()
		if err == nil {
			t.Fatal("a wrong credential is accepted")
		}
		texts = append(texts, err.Error())
	}
	if log.lines() != len(texts) {
		t.Errorf("%d audit lines for %d denials", log.lines(), len(texts))
	}
	if all := log.String() + strings.Join(texts, " "); strings.Contains(all, secret) || strings.Contains(all, annaHash) {
		t.Errorf("a secret is in the log or in an error: %s", all)
	}
	if !strings.Contains(log.String(), `"user":"anna"`) {
		t.Error("the log does not say whose password was wrong")
	}
}

// TestAuditIsRateBounded: an attacker cannot fill the disk, and what was left out is counted.
func TestAuditIsRateBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log := start(t, people(), Options{})
		const denials = 10_000
		for range denials {
			_ = a.Authorize(peer, Identity{}, ActionPublish, "x")
		}
		if log.lines() != auditBurst || a.Stats().AuditSuppressed != denials-auditBurst || a.Stats().Forbidden != denials {
			t.Errorf("%d lines, %+v", log.lines(), a.Stats())
		}
		time.Sleep(auditEvery)
		_ = a.Authorize(peer, Identity{}, ActionPublish, "x")
		if !strings.Contains(log.String(), fmt.Sprintf(`"suppressed":%d`, denials-auditBurst)) {
			t.Errorf("the next line does not count what was left out: %s", log.String())
		}
		for i := range denials {
			_ = a.Authorize(Origin{Door: "http", Addr: addrNumber(i)}, Identity{}, ActionPublish, "x")
		}
		if log.lines() > auditAllBurst+auditBurst || len(a.audit.addrs) > maxAudited {
			t.Errorf("many addresses write %d lines and %d are remembered", log.lines(), len(a.audit.addrs))
		}
	})
}

func TestAuditOfUnixSocketsAndNoLogger(t *testing.T) {
	a, log := start(t, people(), Options{})
	_ = a.Authorize(Origin{Door: "resp"}, Identity{}, ActionAdmin, "CLIENT KILL")
	if !strings.Contains(log.String(), `"addr":"unix"`) || !strings.Contains(log.String(), `"user":"-"`) {
		t.Errorf("the line is %s", log.String())
	}
	silent, err := New(people(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = silent.Authorize(Origin{Addr: netip.IPv6Loopback()}, Identity{}, ActionAdmin, "x")
	if silent.Stats().AuditLines != 1 {
		t.Error("the denial was not counted")
	}
	if slog.Default().Handler() == silent.opts.Logger.Handler() {
		t.Error("without a logger the default one is used")
	}
}

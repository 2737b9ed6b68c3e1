package auth

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// auditor writes one line per decision that denies, at a rate that nobody can
// raise: what is left out is counted in the next line of the same address and in [Stats].
type auditor struct {
	log *slog.Logger
	now func() time.Time

	mu         sync.Mutex
	all        meter
	addrs      map[netip.Addr]*audited
	lines      uint64
	suppressed uint64
}

type audited struct {
	meter      meter
	suppressed uint64
}

// denial is what a line says. User is a name from the configuration or one that
// was authenticated; what somebody merely claims is not logged, because people
// type passwords where names belong.
type denial struct {
	from   Origin
	user   string
	client string // of an identity, see WithClient
	action string
	target string
	reason string
}

func newAuditor(opts Options) *auditor {
	return &auditor{log: opts.Logger, now: opts.Now, addrs: make(map[netip.Addr]*audited)}
}

func (a *auditor) deny(d denial) {
	write, suppressed := a.admit(block(d.from.Addr))
	if !write {
		return
	}
	attrs := []slog.Attr{
		slog.String("door", d.from.Door),
		slog.String("addr", d.from.text()),
		slog.String("user", clip(orElse(d.user, "-"))),
		slog.String("action", d.action),
	}
	if d.client != "" {
		attrs = append(attrs, slog.String("client", clip(d.client)))
	}
	if d.target != "" {
		attrs = append(attrs, slog.String("target", clip(d.target)))
	}
	attrs = append(attrs, slog.String("reason", d.reason))
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	a.log.LogAttrs(context.Background(), slog.LevelWarn, "access denied", attrs...)
}

// admit decides whether a line may be written, and hands out what was left out before it.
func (a *auditor) admit(addr netip.Addr) (write bool, suppressed uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	entry := a.addrs[addr]
	if entry == nil {
		entry = &audited{}
		a.forgetOne()
		a.addrs[addr] = entry
	}
	if entry.meter.used(now, auditEvery) >= auditBurst || a.all.used(now, auditAllEvery) >= auditAllBurst {
		entry.suppressed++
		a.suppressed++
		return false, 0
	}
	entry.meter.use(now, auditEvery)
	a.all.use(now, auditAllEvery)
	a.lines++
	suppressed, entry.suppressed = entry.suppressed, 0
	return true, suppressed
}

// forgetOne makes room in a full map. The line that was forgotten with it was
// counted in the total.
func (a *auditor) forgetOne() {
	if len(a.addrs) < maxAudited {
		return
	}
	for addr := range a.addrs {
		delete(a.addrs, addr)
		return
	}
}

func (a *auditor) counts() (lines, suppressed uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines, a.suppressed
}

// clip makes a text from a peer fit for a log: short, and nothing but what prints.
func clip(text string) string {
	cut := len(text) > maxAuditBytes
	if cut {
		text = text[:maxAuditBytes]
	}
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if cut {
		text += "…"
	}
	return text
}

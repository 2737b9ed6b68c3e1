package auth

import "sync/atomic"

// counters are those that are counted where they happen.
type counters struct {
	accepted, refused, limited, busy, forbidden, cacheHits, keyFetches, keyFailures, keyBreaks, keyRefused atomic.Uint64
}

// Stats are counters since the start, for metrics. None of them holds a name.
type Stats struct {
	Accepted        uint64 // logins that succeeded
	Refused         uint64 // logins with credentials that were not accepted
	Limited         uint64 // logins refused because their address had failed too often
	Busy            uint64 // logins that could not be checked in time
	Forbidden       uint64 // actions that Authorize denied
	CacheHits       uint64 // passwords that were not hashed because they were right a short while ago
	KeyFetches      uint64 // requests to key servers
	KeyFailures     uint64 // requests to key servers that failed
	KeyBreaks       uint64 // how often the circuit breaker of a key server has opened
	KeyRefused      uint64 // logins refused at once because of an open breaker, a pause after a failure, or too many who wait
	AuditLines      uint64 // audit lines written
	AuditSuppressed uint64 // audit lines left out because of their rate

	KeyBreakersOpen int // key servers that are taken to be down, see KeyBreaks

	Addresses  int    // addresses of which failed tries are remembered
	Generation uint64 // configurations so far
}

// Stats returns the counters.
func (a *Auth) Stats() Stats {
	lines, suppressed := a.audit.counts()
	return Stats{
		Accepted: a.count.accepted.Load(), Refused: a.count.refused.Load(),
		Limited: a.count.limited.Load(), Busy: a.count.busy.Load(),
		Forbidden: a.count.forbidden.Load(), CacheHits: a.count.cacheHits.Load(),
		KeyFetches: a.count.keyFetches.Load(), KeyFailures: a.count.keyFailures.Load(),
		KeyBreaks: a.count.keyBreaks.Load(), KeyRefused: a.count.keyRefused.Load(), KeyBreakersOpen: a.remotes.open(),
		AuditLines: lines, AuditSuppressed: suppressed,
		Addresses: a.tries.tracked(), Generation: a.Generation(),
	}
}

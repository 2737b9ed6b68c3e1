// Package auth decides who somebody is and what they may do, for every protocol
// of Spate alike.
//
// # The way of a decision
//
// A door (a protocol) takes credentials from a connection and asks
// [Auth.Credentials], [Auth.Certificate] or [Auth.Header] for an [Identity], or
// carries the messages of an exchange between the client and [Auth.SCRAM]. Before each
// action it asks [Auth.Authorize], which denies with a sentence for the client, a
// counter and an audit line; the Can methods decide the same in silence. While
// [Auth.Enabled] is false the door asks [Auth.Open] instead, which admits whoever
// is on this machine and nobody else.
//
// # Configuration
//
//	auth:
//	  users:
//	    - name: anna
//	      password: $argon2id$v=19$m=19456,t=2,p=1$c3BhdGUtZXhhbXBsZQ$lOS5UtxnQeAmqFq5rNvXCyXGHvnFpGtqqHQ+yMLzmdc
//	      roles: [operator]
//	  tokens:
//	    - issuer: https://id.example.com/
//	      audience: [spate]
//	      keys_url: https://id.example.com/keys
//	      user_prefix: "id:"
//	      roles_claim: realm_access.roles
//	      roles: [guest]
//	  certificates:
//	    - uri: spiffe://example.com/device/*
//	      user: "{match}"
//	      roles: [device]
//	  roles:
//	    operator:
//	      publish: ["commands/#"]
//	      subscribe: ["#", "$devices/#"] # '#' alone covers nothing that begins with '$'
//	      admin: true
//	    device:
//	      publish: ["devices/{user}/#"]
//	      subscribe: ["commands/{user}/{client}/#", "news"]
//	      clients: ["{user}", "{user}/*"]
//	    guest:
//	      subscribe: ["news"]
//
// The fields of [Config] state the defaults and the dangers. [Config.Validate]
// reports everything that is wrong at once, each with the path of its key.
//
// # What is allowed
//
//   - Nothing configured: everything, to peers on this machine through listeners
//     on this machine. [Auth.RequireFor] refuses any other listener.
//   - Anything configured: what a role of the user allows, and nothing else. A
//     configuration without a role is an error, so an empty one lets nobody in
//     by accident, and a reload cannot turn authentication off.
//   - Filters are those of package event. {user} in a filter is the name of the
//     user, {client} the client identifier of the connection, see [Auth.WithClient].
//     Names are compared with a level of the subject and never written into a
//     filter, so no character of theirs can widen a right: an identifier with a
//     slash or wildcard matches nothing, and so does {client} at a door without identifiers.
//   - Which client identifiers a user may use is said by [Role.Clients]; any, if no
//     role of the user has it. That a session belongs to the user who made it is
//     checked by the broker, which keeps [Identity.User] with the session.
//   - A subscription is allowed when one single filter covers all of it; two that
//     cover it only together do not count.
//   - A pattern of Redis' PSUBSCRIBE is allowed when one filter covers every
//     subject that the pattern matches. It is judged by its literal beginning up to
//     the last slash, since both * and ? match slashes too. Doors must match patterns
//     as filters are matched: one that does not begin with a literal $ does not
//     match a subject that begins with $.
//
// # Reload and expiry
//
// An Identity is decided again at the first use after [Auth.Reload]: rights may
// have grown or shrunk, and a user who was removed, whose hash has changed, whose
// issuer or certificate rule now says something else, has none. So no door can
// forget to ask. What a door keeps for later it must ask about again: it compares
// [Auth.Generation] with the one that it kept, and asks [Auth.CanSubscribe] for a
// subscription and [Auth.CanReceive] for an event that was queued or retained.
// After [Identity.Expires] every decision is a denial. A key that a key server no
// longer lists ends no connection; one that is taken out of a key file does.
//
// # Credentials that are wrong
//
// The client learns [ErrDenied] and never which part was wrong; a name that
// nobody has costs the time of one that somebody has. At most 16 passwords are
// hashed at once, and 4096 logins wait. Several kinds of hash beside each other
// show by their time which kind a name has, not whether it exists. By SCRAM, a name
// that nobody has is answered with a salt of its own, which is always the same.
//
// Failed logins are limited per IPv4 address and IPv6 /64, over all doors, for
// passwords, SCRAM and tokens together; all peers of Unix sockets are one address, which
// whoever may open such a socket can use up. While an address is over its limit,
// right credentials from it are refused too, with two exceptions:
//
//   - A password that is cached and was right from the same address before. Who
//     guesses at one user from that user's own address, 100 times beyond the limit,
//     shuts out this user there, and nobody else.
//   - A client certificate. It cannot be guessed, so it takes no try, and one that
//     names nobody costs none; it is audited and counted all the same.
//
// Behind a proxy all clients share one address: right passwords that are not
// cached are refused too once its tries are used up. A reload empties the cache.
//
// # Blocking and memory
//
// The methods that take a context may block, for at most 10 seconds: for a key
// server at most 5, and not at all while its circuit breaker is open. The others
// do not: the Can methods take no lock and do not allocate, except at the first
// use after a reload, and except that a pattern with a backslash is copied. All maps that
// a peer can fill are bounded, see limits.go. Nothing that is passed in is kept,
// except the names of a certificate and the verified claims of a token.
//
// # Secrets
//
// Passwords, hashes and tokens are of type [Secret], which prints as ***. No
// error, audit line or counter holds one; nor does an audit line hold a user name
// or client identifier that was only claimed, since people type passwords where
// names belong. The identifier is named once its user has logged in.
//
// # Not promised
//
// There is no list of withdrawn tokens or certificates: a token is good until it
// expires or its issuer is removed. Audit lines are limited in rate, and what was
// left out is counted. The limits per address are those of one process.
package auth

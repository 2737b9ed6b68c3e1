package auth

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/spate-io/spate/event"
)

func TestCheckName(t *testing.T) {
	for _, good := range []string{"anna", "anna@example.com", "auth0|123", "John Smith", "id:42", "Jürgen", "a.b-c_d"} {
		if err := checkName(good); err != nil {
			t.Errorf("%q %v", good, err)
		}
	}
	bad := []string{
		"", "+", "#", "a+b", "a/#", "a/b", "/", "*", "dev?", "[a]", "{user}", `a\b`, "$SYS", "a\x00b", "a\nb", "a\x1b[2J",
		" anna", "anna ", "a\u202eb", "a\u200bb", "a\u00a0b", "\xff", strings.Repeat("x", maxNameBytes+1),
	}
	for _, name := range bad {
		if err := checkName(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

// rightsFor compiles rules as for a user of one role.
func rightsFor(user string, role Role) holder {
	return holder{rights: compileRole(role), who: &names{user: user}}
}

func TestRights(t *testing.T) {
	r := rightsFor("bert", Role{
		Publish:   []string{"devices/{user}/#", "log-{user}", "+/open/+"},
		Subscribe: []string{"commands/{user}/+", "news", "shared/#"},
	})
	cases := []struct {
		action Action
		target string
		want   bool
	}{
		{ActionPublish, "devices/bert", true},
		{ActionPublish, "devices/bert/temperature", true},
		{ActionPublish, "devices/bert/a/b/c", true},
		{ActionPublish, "devices/bertha/temperature", false},
		{ActionPublish, "devices/anna/temperature", false},
		{ActionPublish, "devices", false},
		{ActionPublish, "devices/+/x", false},
		{ActionPublish, "devices/bert/#", false},
		{ActionPublish, "", false},
		{ActionPublish, "log-bert", true},
		{ActionPublish, "a/open/b", true},
		{ActionPublish, "$SYS/open/b", false},
		{ActionPublish, "commands/bert/stop", false},
		{ActionReceive, "commands/bert/stop", true},
		{ActionReceive, "commands/bert/stop/now", false},
		{ActionReceive, "commands/bert/+", false},
		{ActionSubscribe, "commands/bert/+", true},
		{ActionSubscribe, "commands/bert/stop", true},
		{ActionSubscribe, "commands/bert/#", false},
		{ActionSubscribe, "commands/+/stop", false},
		{ActionSubscribe, "#", false},
		{ActionSubscribe, "+", false},
		{ActionSubscribe, "news", true},
		{ActionSubscribe, "news/#", false},
		{ActionSubscribe, "shared/#", true},
		{ActionSubscribe, "shared", true},
		{ActionSubscribe, "shared/+/x/#", true},
		{ActionSubscribe, "shared/#/x", false},
		{ActionSubscribe, "", false},
		{ActionSubscribeGlob, "*", false},
		{ActionSubscribeGlob, "shared/*", true},
		{ActionSubscribeGlob, "shared*", false},
		{ActionSubscribeGlob, "shared/a?[bc]*", true},
		{ActionSubscribeGlob, "[s]hared/*", false},
		{ActionSubscribeGlob, `\shared/*`, true},
		{ActionSubscribeGlob, "commands/bert/*", false},
		{ActionSubscribeGlob, "commands/bert/stop", true},
		{ActionSubscribeGlob, `commands/bert/sto\p`, true},
		{ActionSubscribeGlob, "news", true},
		{ActionSubscribeGlob, "new?", false},
		{ActionSubscribeGlob, "", false},
		{ActionAdmin, "", false},
		{Action("other"), "news", false},
	}
	for _, c := range cases {
		if got := r.may(c.action, c.target); got != c.want {
			t.Errorf("%s %q: %v, want %v", c.action, c.target, got, c.want)
		}
	}
}

// TestWildcardsInNames is the hostile one: a user whose name is a wildcard must
// not reach anything with it, neither by a rule nor past checkName.
func TestWildcardsInNames(t *testing.T) {
	role := Role{Publish: []string{"devices/{user}/#"}, Subscribe: []string{"devices/{user}/#", "x-{user}", "{user}/#"}}
	for _, name := range []string{"#", "+", "+/#", "a/#", "bert/../#", "{user}", "$SYS", "*", "bert\x00"} {
		config := Config{
			Users: []User{{Name: name, Password: NewSecret(annaHash), Roles: []string{"device"}}},
			Roles: map[string]Role{"device": role},
		}
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "auth.users[0].name") {
			t.Errorf("the user %q is accepted: %v", name, err)
		}
		if strings.ContainsAny(name, "{$*.\x00") {
			continue // no wildcard of filters: the name is only itself
		}
		// Behind that, the subject that a client sends is never a filter.
		r := rightsFor("bert", role)
		if r.mayPublish("devices/"+name+"/x") || r.maySubscribe("devices/"+name) {
			t.Errorf("%q reaches more than itself", name)
		}
	}
}

const propertyRounds = 3000

// subjectsUpTo lists all subjects up to a length over a small alphabet.
func subjectsUpTo(n int) []string {
	all := []string{}
	last := []string{""}
	for range n {
		var next []string
		for _, s := range last {
			for _, c := range []string{"a", "b", "/", "$"} {
				next = append(next, s+c)
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

func randomFilter(r *rand.Rand) string {
	levels := []string{"a", "b", "", "+", "$", "+", "a"} // short, so that subjectsUpTo(5) has them all
	n := 1 + r.IntN(3)
	parts := make([]string, n)
	for i := range parts {
		parts[i] = levels[r.IntN(len(levels))]
	}
	if r.IntN(2) == 0 {
		parts[n-1] = "#"
	}
	text := strings.Join(parts, "/")
	if text == "" {
		return "a"
	}
	return text
}

// TestSubscribeProperty: what an allowed filter matches is allowed to be
// received, and a filter is refused only if no single rule matches all of it.
func TestSubscribeProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	subjects := subjectsUpTo(5)
	allowed := 0
	for range propertyRounds {
		rules := []string{randomFilter(r), randomFilter(r)}
		rights := rightsFor("u", Role{Subscribe: rules})
		asked := randomFilter(r)
		filter, err := event.ParseFilter(asked, anyLength)
		if err != nil {
			t.Fatal(err)
		}
		got := rights.maySubscribe(asked)
		if got {
			allowed++
		}
		want := false
		for _, rule := range rights.subscribe {
			want = want || matchesAll(rule.filter, filter, subjects)
		}
		if got != want {
			t.Fatalf("rules %q, filter %q: %v, brute force says %v", rules, asked, got, want)
		}
	}
	if allowed < propertyRounds/20 {
		t.Errorf("only %d of %d were allowed: the test does not test", allowed, propertyRounds)
	}
}

func matchesAll(rule, filter event.Filter, subjects []string) bool {
	for _, s := range subjects {
		if filter.Match(s) && !rule.Match(s) {
			return false
		}
	}
	return true
}

func randomGlob(r *rand.Rand) string {
	parts := []string{"a", "b", "/", "/", "*", "?", "[ab]", "[^a]", `\a`, `\*`, "$", "a/", "b/", "ab"}
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// TestGlobProperty: every subject that an allowed pattern matches may be received.
func TestGlobProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	subjects := subjectsUpTo(5)
	allowed := 0
	for range propertyRounds {
		rules := []string{randomFilter(r), randomFilter(r)}
		rights := rightsFor("u", Role{Subscribe: rules})
		glob := randomGlob(r)
		if !rights.maySubscribeGlob(glob) {
			continue
		}
		allowed++
		prefix, _ := globPrefix(glob)
		for _, s := range subjects {
			if strings.HasPrefix(s, "$") && !strings.HasPrefix(prefix, "$") {
				continue // the package comment: doors do not match these
			}
			if globMatches(glob, s) && !rights.mayReceive(s) {
				t.Fatalf("rules %q allow the pattern %q, which matches %q", rules, glob, s)
			}
		}
	}
	if allowed < propertyRounds/20 {
		t.Errorf("only %d of %d were allowed: the test does not test", allowed, propertyRounds)
	}
}

// globMatches is Redis' matching, for the parts that randomGlob makes.
func globMatches(glob, s string) bool {
	if glob == "" {
		return s == ""
	}
	switch glob[0] {
	case '*':
		for i := 0; i <= len(s); i++ {
			if globMatches(glob[1:], s[i:]) {
				return true
			}
		}
		return false
	case '?':
		return s != "" && globMatches(glob[1:], s[1:])
	case '[':
		class, rest, _ := strings.Cut(glob[1:], "]")
		not := strings.HasPrefix(class, "^")
		return s != "" && strings.Contains(strings.TrimPrefix(class, "^"), s[:1]) != not && globMatches(rest, s[1:])
	case '\\':
		if len(glob) > 1 {
			glob = glob[1:]
		}
	}
	return s != "" && s[0] == glob[0] && globMatches(glob[1:], s[1:])
}

func FuzzRights(f *testing.F) {
	f.Add("devices/+/#", "devices/a*", "devices/a")
	f.Add("#", `\`, "$x")
	f.Add("a/b", "[", "")
	f.Fuzz(func(t *testing.T, filter, glob, subject string) {
		if checkRule(filter) != nil {
			return
		}
		r := rightsFor("u", Role{Publish: []string{filter}, Subscribe: []string{filter}})
		r.maySubscribeGlob(glob)
		if r.maySubscribe(subject) && validSubject(subject) && !r.mayReceive(subject) {
			t.Fatalf("%q allows the subscription %q and not the event", filter, subject)
		}
	})
}

func TestPublishCostsNoMemory(t *testing.T) {
	a, _ := start(t, manyRules(), Options{})
	id := login(t, a, "anna", "anna-secret")
	for name, decide := range decisions(a, id) {
		if n := testing.AllocsPerRun(100, func() { decide() }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func manyRules() Config {
	config := people()
	filters := []string{"a/b", "commands/{user}/+/x", "one/#", "two/+/#", "three/+", "four/a/b/c", "+/x/y/z", "news", "logs/{user}/#", "sensors/+/temperature"}
	config.Roles["operator"] = Role{Publish: filters, Subscribe: filters}
	return config
}

func decisions(a *Auth, id Identity) map[string]func() bool {
	return map[string]func() bool{
		"CanPublish allowed by the last": func() bool { return a.CanPublish(id, "sensors/hall/temperature") },
		"CanPublish denied":              func() bool { return a.CanPublish(id, "sensors/hall/humidity/raw") },
		"CanReceive allowed":             func() bool { return a.CanReceive(id, "sensors/hall/temperature") },
		"CanSubscribe allowed":           func() bool { return a.CanSubscribe(id, "sensors/+/temperature") },
		"CanSubscribe denied":            func() bool { return a.CanSubscribe(id, "sensors/#") },
		"CanSubscribeGlob allowed":       func() bool { return a.CanSubscribeGlob(id, "logs/anna/*") },
	}
}

func BenchmarkDecisions(b *testing.B) {
	a, _ := start(b, manyRules(), Options{})
	id := login(b, a, "anna", "anna-secret")
	for name, decide := range decisions(a, id) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide()
			}
		})
	}
}

// BenchmarkReconnect is one login of a storm: the password was right a short while ago.
func BenchmarkReconnect(b *testing.B) {
	a, _ := start(b, people(), Options{})
	b.ReportAllocs()
	for b.Loop() {
		login(b, a, "anna", "anna-secret")
	}
}

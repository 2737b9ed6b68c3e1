package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spate-io/spate/event"
)

// rights is what those with certain roles may do. It does not change, and all of
// them share it: see holder.
type rights struct {
	publish   []rule
	subscribe []rule
	clients   []clientPattern // which client identifiers may be used; any when there is none
	admin     bool
	open      bool // everything, because authentication is not configured
}

// holder is somebody with rights: the names are compared with what the
// placeholders in the rules stand for.
type holder struct {
	*rights
	who *names
}

// compileRole prepares a role once for all who have it.
func compileRole(role Role) *rights {
	r := &rights{admin: role.Admin}
	for _, filter := range role.Publish {
		r.publish = append(r.publish, compileRule(filter))
	}
	for _, filter := range role.Subscribe {
		r.subscribe = append(r.subscribe, compileRule(filter))
	}
	for _, pattern := range role.Clients {
		r.clients = append(r.clients, compileClient(pattern))
	}
	return r
}

// add adds up the rights of several roles.
func (r *rights) add(role *rights) {
	r.publish = append(r.publish, role.publish...)
	r.subscribe = append(r.subscribe, role.subscribe...)
	r.clients = append(r.clients, role.clients...)
	r.admin = r.admin || role.admin
}

// rule is a filter in which + stands for each level that holds a placeholder, and
// what these levels must be. So a name can only narrow a rule and never widen it,
// whatever is in it. Most rules are ruled out by their literal beginning, with
// which everything begins that they match or cover: that costs 3 ns instead of 15.
type rule struct {
	filter event.Filter
	head   string
	bound  []boundLevel
}

type boundLevel struct {
	level int
	is    template
}

func compileRule(text string) rule {
	var r rule
	levels := strings.Split(text, "/")
	for i, level := range levels {
		if t := parseTemplate(level); t.named() {
			r.bound = append(r.bound, boundLevel{level: i, is: t})
			levels[i] = oneLevel
		}
	}
	r.filter, _ = event.ParseFilter(strings.Join(levels, "/"), anyLength) // checkRule was there; the zero Filter matches nothing
	r.head = text
	if wild := strings.IndexAny(text, oneLevel+allLevels+"{"); wild >= 0 {
		if text[wild:] == allLevels { // a/# matches a as well
			wild = max(0, wild-1)
		}
		r.head = text[:wild]
	}
	return r
}

// excludes is the comparison with the literal beginning, small enough to be inlined.
func (r *rule) excludes(text string) bool { return !strings.HasPrefix(text, r.head) }

func (r *rule) matches(subject string, who *names) bool {
	return r.filter.Match(subject) && r.fits(subject, who)
}

func (r *rule) covers(filter string, parsed event.Filter, who *names) bool {
	return r.filter.Covers(parsed) && r.fits(filter, who)
}

// coversGlob is about the literal beginning of a Redis pattern. Its last level may
// go on, so it does not count for what a level must be.
func (r *rule) coversGlob(prefix string, who *names) bool {
	if !coversGlob(r.filter.String(), prefix) {
		return false
	}
	complete := strings.LastIndexByte(prefix, '/')
	return len(r.bound) == 0 || complete >= 0 && r.fits(prefix[:complete], who)
}

// fits reports whether the levels that hold a placeholder are what they must be.
// A wildcard is never: somebody may be called so.
func (r *rule) fits(text string, who *names) bool {
	at := 0
	for i := range r.bound {
		for ; at < r.bound[i].level; at++ {
			_, rest, more := strings.Cut(text, "/")
			if !more {
				return false
			}
			text = rest
		}
		level, _, _ := strings.Cut(text, "/")
		if level == oneLevel || level == allLevels || !r.bound[i].is.is(level, who) {
			return false
		}
	}
	return true
}

// anyLength leaves it to the doors to bound subjects and filters.
var anyLength = event.Limits{SubjectLength: event.MaxSubjectLength, SubjectLevels: event.MaxSubjectLength}

func (r holder) mayPublish(subject string) bool {
	return validSubject(subject) && (r.open || anyMatches(r.publish, subject, r.who))
}

func (r holder) mayReceive(subject string) bool {
	return validSubject(subject) && (r.open || anyMatches(r.subscribe, subject, r.who))
}

func (r holder) maySubscribe(filter string) bool {
	wanted, err := event.ParseFilter(filter, anyLength)
	if err != nil {
		return false
	}
	for i := range r.subscribe {
		if rule := &r.subscribe[i]; !rule.excludes(filter) && rule.covers(filter, wanted, r.who) {
			return true
		}
	}
	return r.open
}

func (r holder) maySubscribeGlob(glob string) bool {
	prefix, literal := globPrefix(glob)
	if literal {
		return r.mayReceive(prefix)
	}
	for i := range r.subscribe {
		if rule := &r.subscribe[i]; !rule.excludes(prefix) && rule.coversGlob(prefix, r.who) {
			return true
		}
	}
	return r.open
}

func anyMatches(rules []rule, subject string, who *names) bool {
	for i := range rules {
		if !rules[i].excludes(subject) && rules[i].matches(subject, who) {
			return true
		}
	}
	return false
}

// validSubject reports whether no wildcard hides in a subject. What else a
// subject may not hold is checked by package event, which every door asks first.
func validSubject(subject string) bool {
	return subject != "" && strings.IndexByte(subject, '+') < 0 && strings.IndexByte(subject, '#') < 0
}

// checkRule refuses filters that are not filters, and placeholders that do not exist.
func checkRule(filter string) error {
	if len(filter) > maxFilterBytes {
		return fmt.Errorf("has %d bytes; at most %d are accepted", len(filter), maxFilterBytes)
	}
	if err := checkPlaceholders(filter, userPlaceholder, clientPlaceholder); err != nil {
		return err
	}
	filled := strings.NewReplacer(userPlaceholder, "u", clientPlaceholder, "c").Replace(filter)
	if _, err := event.ParseFilter(filled, anyLength); err != nil {
		return fmt.Errorf("%q is not a filter (+ and # stand alone between slashes, # at the end): %w", filter, errors.Unwrap(err))
	}
	if first, _, _ := strings.Cut(filter, "/"); strings.HasPrefix(first, "$") && parseTemplate(first).named() {
		return fmt.Errorf("%q has a placeholder in a first level that begins with $, which is kept for the server's own subjects", filter)
	}
	return nil
}

var errNoRoles = errors.New("there is no role, so nobody could do anything; for full rights write {all: {publish: ['#'], subscribe: ['#'], admin: true}} and give users the role all")

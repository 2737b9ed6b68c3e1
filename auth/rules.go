package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spate-io/spate/event"
)

// userPlaceholder stands for the name of the user in a filter of a [Role].
const userPlaceholder = "{user}"

// rights is what one user with certain roles may do. It does not change.
type rights struct {
	publish   []rule
	subscribe []rule
	admin     bool
	open      bool // everything, because authentication is not configured
}

// add adds the rights of a role to those of the user.
func (r *rights) add(role Role, user string) {
	for _, filter := range role.Publish {
		r.publish = append(r.publish, userRule(filter, user))
	}
	for _, filter := range role.Subscribe {
		r.subscribe = append(r.subscribe, userRule(filter, user))
	}
	r.admin = r.admin || role.Admin
}

// rule is a filter and its literal beginning, with which everything begins that
// the filter matches or covers. Most rules are ruled out by that comparison, which
// costs 3 ns instead of 15.
type rule struct {
	filter event.Filter
	head   string
}

// userRule fills in the user. Names that could change the meaning of a filter
// were refused before, by checkName; should one be none all the same, the zero
// Filter matches nothing.
func userRule(filter, user string) rule {
	f, _ := event.ParseFilter(strings.ReplaceAll(filter, userPlaceholder, user), anyLength)
	head := f.String()
	if wild := strings.IndexAny(head, oneLevel+allLevels); wild >= 0 {
		if head[wild:] == allLevels { // a/# matches a as well
			wild = max(0, wild-1)
		}
		head = head[:wild]
	}
	return rule{filter: f, head: head}
}

// anyLength leaves it to the doors to bound subjects and filters.
var anyLength = event.Limits{SubjectLength: event.MaxSubjectLength, SubjectLevels: event.MaxSubjectLength}

func (r *rights) mayPublish(subject string) bool {
	return validSubject(subject) && (r.open || anyMatches(r.publish, subject))
}

func (r *rights) mayReceive(subject string) bool {
	return validSubject(subject) && (r.open || anyMatches(r.subscribe, subject))
}

func (r *rights) maySubscribe(filter string) bool {
	wanted, err := event.ParseFilter(filter, anyLength)
	if err != nil {
		return false
	}
	for i := range r.subscribe {
		if strings.HasPrefix(filter, r.subscribe[i].head) && r.subscribe[i].filter.Covers(wanted) {
			return true
		}
	}
	return r.open
}

func (r *rights) maySubscribeGlob(glob string) bool {
	prefix, literal := globPrefix(glob)
	if literal {
		return r.mayReceive(prefix)
	}
	for i := range r.subscribe {
		if strings.HasPrefix(prefix, r.subscribe[i].head) && coversGlob(r.subscribe[i].filter.String(), prefix) {
			return true
		}
	}
	return r.open
}

func anyMatches(rules []rule, subject string) bool {
	for i := range rules {
		if strings.HasPrefix(subject, rules[i].head) && rules[i].filter.Match(subject) {
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

// checkRule refuses filters that are not filters, and placeholders other than {user}.
func checkRule(filter string) error {
	if len(filter) > maxFilterBytes {
		return fmt.Errorf("has %d bytes; at most %d are accepted", len(filter), maxFilterBytes)
	}
	filled := strings.ReplaceAll(filter, userPlaceholder, "u")
	if strings.ContainsAny(filled, "{}") {
		return fmt.Errorf("%q has a placeholder other than %s", filter, userPlaceholder)
	}
	if _, err := event.ParseFilter(filled, anyLength); err != nil {
		return fmt.Errorf("%q is not a filter (+ and # stand alone between slashes, # at the end): %w", filter, errors.Unwrap(err))
	}
	return nil
}

var errNoRoles = errors.New("there is no role, so nobody could do anything; for full rights write {all: {publish: ['#'], subscribe: ['#'], admin: true}} and give users the role all")

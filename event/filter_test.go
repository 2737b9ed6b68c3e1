package event

import (
	"errors"
	"strings"
	"testing"
)

// mustFilter does not call t.Helper, which takes longer than all else here.
func mustFilter(t testing.TB, text string) Filter {
	f, err := ParseFilter(text, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// naiveMatch is the specification, written for clarity: MQTT 5.0 section 4.7.
func naiveMatch(filter, subject string) bool {
	if strings.HasPrefix(subject, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	f, s := strings.Split(filter, "/"), strings.Split(subject, "/")
	for i, level := range f {
		if level == "#" {
			return len(s) >= i
		}
		if i >= len(s) || level != "+" && level != s[i] {
			return false
		}
	}
	return len(f) == len(s)
}

func TestParseFilter(t *testing.T) {
	tests := []struct {
		filter  string
		want    error
		literal bool
	}{
		{filter: "a/b", literal: true}, {filter: "/", literal: true}, {filter: "$SYS/a", literal: true},
		{filter: "+"}, {filter: "#"}, {filter: "+/+"}, {filter: "/+"}, {filter: "+/"}, {filter: "a/+/b"},
		{filter: "a/#"}, {filter: "/#"}, {filter: "+/#"}, {filter: "$SYS/#"},
		{filter: "", want: ErrEmpty}, {filter: "a+", want: ErrWildcard}, {filter: "+a", want: ErrWildcard},
		{filter: "++", want: ErrWildcard}, {filter: "a/#/b", want: ErrWildcard}, {filter: "#/", want: ErrWildcard},
		{filter: "a#", want: ErrWildcard}, {filter: "a/b#", want: ErrWildcard}, {filter: "+#", want: ErrWildcard},
		{filter: "##", want: ErrWildcard}, {filter: "a/\x00/+", want: ErrNotText}, {filter: "\xff/#", want: ErrNotText},
		{filter: strings.Repeat("+/", DefaultSubjectLevels), want: ErrTooDeep},
		{filter: strings.Repeat("a", DefaultSubjectLength+1), want: ErrTooLong},
	}
	for _, tt := range tests {
		f, err := ParseFilter(tt.filter, Limits{})
		if !errors.Is(err, tt.want) {
			t.Errorf("ParseFilter(%.20q) = %v, want %v", tt.filter, err, tt.want)
		}
		if err == nil && (f.String() != tt.filter || f.IsLiteral() != tt.literal) {
			t.Errorf("ParseFilter(%q) = %q, literal %v", tt.filter, f, f.IsLiteral())
		}
	}
}

// The examples of MQTT 5.0 sections 4.7.1 and 4.7.2, and the corners of ours.
func TestFilterMatch(t *testing.T) {
	tests := []struct {
		filter  string
		yes, no []string
	}{
		{"sport/tennis/player1/#", []string{"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"}, []string{"sport/tennis", "sport/tennis/player10"}},
		{"sport/#", []string{"sport", "sport/", "sport/a/b"}, []string{"sports", ""}},
		{"sport/tennis/+", []string{"sport/tennis/player1", "sport/tennis/"}, []string{"sport/tennis", "sport/tennis/player1/ranking"}},
		{"sport/+", []string{"sport/", "sport/a"}, []string{"sport"}},
		{"+/+", []string{"/finance", "a/b"}, []string{"a", "a/b/c", "$SYS/a"}},
		{"/+", []string{"/finance", "/"}, []string{"finance", "//"}},
		{"+", []string{"finance"}, []string{"/finance", "$x"}},
		{"#", []string{"a", "/", "a/b"}, []string{"$SYS", "$SYS/a"}},
		{"+/monitor/Clients", []string{"x/monitor/Clients"}, []string{"$SYS/monitor/Clients"}},
		{"$SYS/#", []string{"$SYS", "$SYS/a"}, []string{"SYS"}},
		{"$SYS/monitor/+", []string{"$SYS/monitor/Clients"}, nil},
		{"a/+/+/#", []string{"a/b/c", "a/b/c/d"}, []string{"a/b"}},
		{"ACCOUNTS", []string{"ACCOUNTS"}, []string{"Accounts"}},
	}
	for _, tt := range tests {
		f := mustFilter(t, tt.filter)
		for _, subject := range tt.yes {
			if !f.Match(subject) || !f.MatchBytes([]byte(subject)) {
				t.Errorf("%q does not match %q", f, subject)
			}
		}
		for _, subject := range tt.no {
			if f.Match(subject) {
				t.Errorf("%q matches %q", f, subject)
			}
		}
	}
	if (Filter{}).Match("") || (Filter{}).Match("a") {
		t.Error("the zero Filter matches something")
	}
}

// TestFilterCovers compares with every subject over a small alphabet, deep enough to tell.
func TestFilterCovers(t *testing.T) {
	filters := combine([]string{"a", "$", "+", "#"}, 3, func(f string) bool { _, err := ParseFilter(f, Limits{}); return err == nil })
	subjects := combine([]string{"a", "$", "z", ""}, 5, func(s string) bool { return s != "" })
	for _, outer := range filters {
		for _, inner := range filters {
			want := true
			for _, s := range subjects {
				want = want && (!naiveMatch(inner, s) || naiveMatch(outer, s))
			}
			if got := mustFilter(t, outer).Covers(mustFilter(t, inner)); got != want {
				t.Errorf("%q covers %q = %v, want %v", outer, inner, got, want)
			}
		}
	}
	if (Filter{}).Covers(Filter{}) || (Filter{}).Covers(mustFilter(t, "#")) || mustFilter(t, "#").Covers(Filter{}) {
		t.Error("the zero Filter covers or is covered")
	}
}

// TestFilterOverlaps compares as TestFilterCovers does.
func TestFilterOverlaps(t *testing.T) {
	filters := combine([]string{"a", "$", "+", "#"}, 3, func(f string) bool { _, err := ParseFilter(f, Limits{}); return err == nil })
	subjects := combine([]string{"a", "$", "z", ""}, 4, func(s string) bool { return s != "" })
	for _, one := range filters {
		for _, other := range filters {
			want := false
			for _, s := range subjects {
				want = want || naiveMatch(one, s) && naiveMatch(other, s)
			}
			if got := mustFilter(t, one).Overlaps(mustFilter(t, other)); got != want {
				t.Errorf("%q overlaps %q = %v, want %v", one, other, got, want)
			}
		}
	}
	if (Filter{}).Overlaps(mustFilter(t, "#")) || mustFilter(t, "#").Overlaps(Filter{}) {
		t.Error("the zero Filter overlaps")
	}
}

// combine returns the accepted texts of up to depth levels over an alphabet.
func combine(alphabet []string, depth int, accept func(string) bool) []string {
	all, last := []string{}, append([]string(nil), alphabet...)
	for range depth {
		var next []string
		for _, text := range last {
			if accept(text) {
				all = append(all, text)
			}
			for _, level := range alphabet {
				next = append(next, text+"/"+level)
			}
		}
		last = next
	}
	return all
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"a/+/#", "a/b"}, {"#", "$a"}, {"/+", "/"}, {"+/b", "a/b"}, {"a//#", "a/"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, filter, subject string) {
		parsed, err := ParseFilter(filter, Limits{})
		if err != nil || ValidateSubject(subject, Limits{}) != nil {
			return
		}
		want := naiveMatch(filter, subject)
		if got := parsed.Match(subject); got != want {
			t.Fatalf("Filter.Match(%q, %q) = %v, want %v", filter, subject, got, want)
		}
		var trie Trie[int]
		trie.Add(parsed, 1)
		got := 0
		trie.MatchBytes([]byte(subject), func(int) bool { got++; return true })
		if (got == 1) != want {
			t.Fatalf("Trie.Match(%q, %q) yielded %d, want %v", filter, subject, got, want)
		}
	})
}

package event

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateSubject(t *testing.T) {
	tests := []struct {
		name, subject string
		limits        Limits
		want          error
	}{
		{name: "one level", subject: "a"},
		{name: "levels", subject: "sensors/hall/temperature"},
		{name: "empty levels", subject: "//"},
		{name: "a space", subject: " "},
		{name: "dollar", subject: "$SYS/load"},
		{name: "umlaut", subject: "räume/küche"},
		{name: "control character", subject: "a\x01b"},
		{name: "empty", subject: "", want: ErrEmpty},
		{name: "plus", subject: "a/+/b", want: ErrWildcard},
		{name: "plus inside", subject: "a+b", want: ErrWildcard},
		{name: "hash", subject: "a/#", want: ErrWildcard},
		{name: "nul", subject: "a\x00b", want: ErrNotText},
		{name: "invalid UTF-8", subject: "a\xff", want: ErrNotText},
		{name: "surrogate", subject: "a\xed\xa0\x80", want: ErrNotText},
		{name: "overlong", subject: "\xc0\xaf", want: ErrNotText},
		{name: "longest", subject: strings.Repeat("x", DefaultSubjectLength)},
		{name: "too long", subject: strings.Repeat("x", DefaultSubjectLength+1), want: ErrTooLong},
		{name: "deepest", subject: strings.Repeat("/", DefaultSubjectLevels-1)},
		{name: "too deep", subject: strings.Repeat("/", DefaultSubjectLevels), want: ErrTooDeep},
		{name: "own length", subject: "abcd", limits: Limits{SubjectLength: 3}, want: ErrTooLong},
		{name: "own depth", subject: "a/b/c", limits: Limits{SubjectLevels: 2}, want: ErrTooDeep},
		{name: "never beyond MQTT", subject: strings.Repeat("x", MaxSubjectLength+1), limits: Limits{SubjectLength: 1 << 20}, want: ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := ValidateSubject(tt.subject, tt.limits); !errors.Is(err, tt.want) {
				t.Errorf("ValidateSubject = %v, want %v", err, tt.want)
			}
			if err := ValidateSubjectBytes([]byte(tt.subject), tt.limits); !errors.Is(err, tt.want) {
				t.Errorf("ValidateSubjectBytes = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRefusedTextIsQuotedShort(t *testing.T) {
	err := ValidateSubject(strings.Repeat("secret\n", 1000), Limits{})
	if err == nil || len(err.Error()) > 200 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %q, want at most 200 bytes in one line", err)
	}
}

func TestValidateDoesNotAllocate(t *testing.T) {
	subject := []byte("sensors/küche/temperature")
	if n := testing.AllocsPerRun(100, func() { _ = ValidateSubjectBytes(subject, Limits{}) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkValidateSubject(b *testing.B) {
	subject := []byte("sensors/hall-17/temperature")
	b.ReportAllocs()
	for b.Loop() {
		if err := ValidateSubjectBytes(subject, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

package task_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the tests if any of them leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("it broke")

// mustPanic calls f and fails unless it panics with a sentence that contains want.
func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if s, ok := v.(string); !ok || !strings.Contains(s, want) {
			t.Errorf("got panic %v, want one that says %q", v, want)
		}
	}()
	f()
}

func wantIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("got error %v, want one that matches %v", err, target)
		}
	}
}

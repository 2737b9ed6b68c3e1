package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
)

// What a task that gave no result of its own ends with. Test for them with errors.Is.
var (
	// ErrNotStarted means that the function was never called: its context had ended, or its scope had been
	// canceled, before it got its turn. The error also matches what ended it. Whoever handed a resource to
	// the task still owns that resource.
	ErrNotStarted = errors.New("task not started")

	// ErrGoexit means that the function neither returned nor panicked: it called runtime.Goexit, as
	// testing.T.FailNow does.
	ErrGoexit = errors.New("task ended by runtime.Goexit")
)

// What waiting ends with.
var (
	// ErrClosed means that the Broadcast or Watch was closed and that everything sent before has been taken.
	ErrClosed = errors.New("closed by its sender")

	// ErrTimeout means that Timeout's own limit passed. Such an error matches context.DeadlineExceeded too.
	ErrTimeout = errors.New("timed out")
)

// errSiblingDone is the cause that tasks see when CancelOnDone ends them.
var errSiblingDone = fmt.Errorf("another task of the scope has finished: %w", context.Canceled)

// A PanicError is a panic that was caught in a task and carried to whoever awaits it.
type PanicError struct {
	// Task is the name of the task, or empty if Try caught the panic.
	Task string
	// Value is what panic was called with; panic(nil) gives a *runtime.PanicNilError.
	Value any
	// Stack is the stack of the goroutine that panicked, as runtime/debug.Stack prints it: at most the 50
	// innermost and the 50 outermost frames.
	Stack []byte
}

// Error says who panicked and with what, on one line where the value is one, and of a long one the first 3 KiB. The stack is not part of it:
// log the error itself, or its Stack.
func (e *PanicError) Error() string {
	if e.Task == "" {
		return "panic: " + e.text()
	}
	return fmt.Sprintf("task %q panicked: %s", e.Task, e.text())
}

// text is the value, or its beginning and its size.
func (e *PanicError) text() string {
	text, plain := e.Value.(string)
	if !plain {
		text = fmt.Sprint(e.Value)
	}
	if len(text) > maxPanicText {
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:maxPanicText], ""), len(text))
	}
	return text
}

// Unwrap returns the value if it is an error, so that errors.Is sees through a panic(err).
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// LogValue lets log/slog print the stack beside the message.
func (e *PanicError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("error", e.Error()), slog.String("stack", string(e.Stack)))
}

// Try calls fn on the caller's goroutine and returns its error, or a *PanicError if it panicked. A
// runtime.Goexit in fn cannot be caught here: it ends the caller too. See Finally.
//
// Cost: one deferred call (under 20 ns); a panic costs its stack trace (tens of µs).
func Try(fn func() error) error {
	_, err := try("", fn)
	return err
}

// Finally calls fn on the caller's goroutine, and then calls then with what Try would have returned. Of a
// runtime.Goexit in fn it is told too, as a *PanicError whose Value is ErrGoexit: the goroutine ends after
// that, whatever then does, so Finally does not return.
//
// Cost: as Try.
func Finally(fn func() error, then func(error)) {
	returned := false
	defer func() {
		if !returned {
			then(&PanicError{Value: ErrGoexit, Stack: debug.Stack()})
		}
	}()
	err := Try(fn)
	returned = true
	then(err)
}

// try is Try for the task called name, and says whether it was fn itself that panicked. Its result starts as
// ErrGoexit, so that a function that never came to its return statement cannot be mistaken for one that
// returned nil (under GODEBUG=panicnil=1 there is a panic that recover does not see).
func try(name string, fn func() error) (panicked bool, err error) {
	err = ErrGoexit
	defer func() {
		if v := recover(); v != nil {
			panicked, err = true, &PanicError{Task: name, Value: v, Stack: debug.Stack()}
		}
	}()
	return false, fn()
}

// reason is why ctx ended: an error that matches ctx.Err() and, if it is another one, context.Cause(ctx).
func reason(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// ended says that ctx ended while the caller was doing something.
func ended(ctx context.Context, doing string) error {
	return fmt.Errorf("%s: %w", doing, reason(ctx))
}

// notStarted is the result of a task that was refused because of cause.
func notStarted(name string, cause error) error {
	return fmt.Errorf("%w: %q: %w", ErrNotStarted, name, cause)
}

// echoes reports whether err only says that cause, or a cancellation, has reached its task. Of several errors
// joined in one, all must say so, and a panic never does: the answer to being canceled must not swallow
// another defect. So errors.Is, which is content with the first match, decides only about single errors.
func echoes(err, cause error) bool {
	if _, ok := err.(*PanicError); ok { //nolint:errorlint // Walks the tree itself.
		return false
	}
	if reflect.TypeOf(cause).Comparable() && err == cause { //nolint:errorlint // As above.
		return true
	}
	switch e := err.(type) { //nolint:errorlint // As above.
	case interface{ Unwrap() []error }:
		return len(e.Unwrap()) > 0 && !slices.ContainsFunc(e.Unwrap(), func(part error) bool { return !echoes(part, cause) })
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return echoes(inner, cause)
		}
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrNotStarted)
}

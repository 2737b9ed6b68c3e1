package device

import "errors"

// Why a device cannot be looked at or changed.
var (
	// ErrNotFound means that there is no such device.
	ErrNotFound = errors.New("there is no such device")
	// ErrID means that a text cannot be the identifier of a device, which is one level of a subject.
	ErrID = errors.New("it cannot be the identifier of a device")
	// ErrLabel means that a type or a tag is not usable.
	ErrLabel = errors.New("the type or a tag of the device is not usable")
	// ErrOnline means that a device is connected, which would make it known again.
	ErrOnline = errors.New("the device is connected")
	// ErrTooMany means that there are as many devices as there may be.
	ErrTooMany = errors.New("there are as many devices as there may be")
)

// Why a state cannot be changed.
var (
	// ErrDocument means that an update, or another request about a state, is not usable as it is: it is no JSON, no object, or has nothing to change.
	ErrDocument = errors.New("the document is not usable")
	// ErrVersion means that the state has another version than the one that was expected.
	ErrVersion = errors.New("the state has another version")
	// ErrTooLarge means that the state would be larger, or nested more deeply, than is allowed, or that the request or what is told of it is.
	ErrTooLarge = errors.New("the request, or the state that it makes, is too large")
)

// Why a command cannot be given.
var (
	// ErrMethod means that the method of a command is not usable: it is one level of a subject.
	ErrMethod = errors.New("the method of the command is not usable")
	// ErrPayload means that the payload of a command is too large.
	ErrPayload = errors.New("the payload of the command is too large")
	// ErrExpiry means that the time that a command has is not usable.
	ErrExpiry = errors.New("the time that the command has is not usable")
	// ErrQueue means that a device has as many open commands as it may have.
	ErrQueue = errors.New("too many commands of the device are open")
	// ErrNoCommand means that there is no such command, or that it was finished long ago.
	ErrNoCommand = errors.New("there is no such command")
)

// Why there is no answer.
var (
	// ErrFailed means that the device says that it could not do what the command asks for, or that the command could not be given to it.
	ErrFailed = errors.New("the command has failed")
	// ErrExpired means that no answer came in time. The device may have done what the command asks for.
	ErrExpired = errors.New("the device did not answer in time")
	// ErrUnanswered means that the caller waits no longer. What it has asked for is on disk and goes on.
	ErrUnanswered = errors.New("there is no answer yet, and what was asked for goes on")
	// ErrBusy means that too many wait for answers.
	ErrBusy = errors.New("too many wait for answers of devices")
)

// ErrUnknown means that a client may not connect, since it is no device that was declared and others are to be refused.
var ErrUnknown = errors.New("this device is not declared")

// ErrConfig means that a configuration cannot be used as it is.
var ErrConfig = errors.New("the configuration of devices is not usable")

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

// ErrUnknown means that a client may not connect, since it is no device that was declared and others are to be refused.
var ErrUnknown = errors.New("this device is not declared")

// ErrConfig means that a configuration cannot be used as it is.
var ErrConfig = errors.New("the configuration of devices is not usable")

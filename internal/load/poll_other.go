//go:build !linux

package load

import (
	"context"
	"errors"
	"net"
)

// pollable tells whether runPoll works.
func pollable() bool { return false }

func runPoll(context.Context, *Options, []net.Conn, *meter) error {
	return errors.ErrUnsupported
}

func runFanout(context.Context, *FanoutOptions, []net.Conn) (*FanoutResult, error) {
	return nil, errors.ErrUnsupported
}

func runMQTT(context.Context, *MQTTOptions) (*MQTTResult, error) {
	return nil, errors.ErrUnsupported
}

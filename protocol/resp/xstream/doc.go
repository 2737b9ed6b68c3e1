// Package xstream is the Redis streams of a bus, without the wire.
package xstream

// Package resp speaks the Redis serialization protocol.
package resp

// Package pebblestore is the embedded store, in one directory, on Pebble.
package pebblestore

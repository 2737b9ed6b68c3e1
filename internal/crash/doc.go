// Package crash kills servers and cuts their power, and checks what is left: that nothing acknowledged is lost, that what a committing
// handler has made of it is there exactly once, and that the order of each key has held. It has only tests, apart from the rest
// because each needs a process, or a file system, of its own.
package crash

package load

import (
	"errors"
	"strconv"
	"strings"
)

// The errors of a run that cannot go on.
var (
	errMQTTUnasked = errors.New("the server sent what was not asked for")
	errMQTTWrong   = errors.New("a message is not one that was published")
)

// topicOf returns a topic for a number.
func topicOf(pattern, word string, n int) string {
	if !strings.Contains(pattern, placeholder) {
		pattern += "/" + placeholder
	}
	return strings.ReplaceAll(pattern, placeholder, word+strconv.Itoa(n))
}

// everyTopic returns a filter that matches what is published, and what the idle connections subscribe to as well.
func everyTopic(pattern string) string {
	levels := strings.Split(pattern, "/")
	for i, level := range levels {
		if strings.Contains(level, placeholder) {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

package event_test

import (
	"fmt"

	"github.com/spate-io/spate/event"
)

func ExampleTrie() {
	var routes event.Trie[string]
	for filter, who := range map[string]string{"sensors/+/temperature": "thermostat", "sensors/#": "archive", "$SYS/#": "operator"} {
		f, err := event.ParseFilter(filter, event.Limits{})
		if err != nil {
			panic(err)
		}
		routes.Add(f, who)
	}
	routes.Match("sensors/hall/temperature", func(who string) bool {
		fmt.Println(who)
		return true
	})
	// Unordered output:
	// thermostat
	// archive
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/client"
)

// list prints all pages of a list of the API, whose name is that of its path and of the field that holds its items: as one, or as a table with a row for each item.
func list[T any](r *remote, cmd *cobra.Command, name string, q url.Values, head []string, row func(*T) []string) error {
	return r.call(cmd, func(ctx context.Context, c *client.Client) error {
		all, rows := []json.RawMessage{}, [][]string{head}
		status := newStatus(cmd.ErrOrStderr())
		defer status.clear()
		q.Set("limit", number(readPage))
		for {
			page := map[string]json.RawMessage{}
			if err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: []string{name}, Query: q}, &page); err != nil {
				return err
			}
			items, after, err := itemsOf[T](page, name)
			if err != nil {
				return fmt.Errorf("the server does not answer as a node of Spate does: %w", err)
			}
			for i := range items {
				all, rows = append(all, items[i].text), append(rows, row(&items[i].value))
			}
			status.show(func() string { return fmt.Sprint(len(all), " ", name) })
			if after == "" {
				break
			}
			q.Set("after", after)
		}
		status.clear()
		if !r.json {
			return table(cmd.OutOrStdout(), rows)
		}
		text, err := json.Marshal(map[string][]json.RawMessage{name: all})
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), text)
	})
}

// An item is one of a list, as it was told and as it is shown.
type item[T any] struct {
	text  json.RawMessage
	value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *item[T]) UnmarshalJSON(text []byte) error {
	i.text = append(i.text[:0], text...)
	return json.Unmarshal(text, &i.value)
}

// itemsOf returns the items of a page, and where the next one begins, "" if there is none.
func itemsOf[T any](page map[string]json.RawMessage, name string) (items []item[T], after string, err error) {
	err = json.Unmarshal(page[name], &items)
	if text, more := page["after"]; more {
		err = errors.Join(err, json.Unmarshal(text, &after))
	}
	return items, after, err
}

package auth

import "strings"

// What stands in a filter of a [Role] for a name of whoever has the role.
const (
	userPlaceholder   = "{user}"
	clientPlaceholder = "{client}"
)

// names are what the placeholders stand for. An empty one stands for nothing:
// what holds its placeholder never matches.
type names struct {
	user   string // in which no character means anything, see checkName
	client string // any text: of an MQTT client identifier nothing is known
}

func (n *names) of(placeholder string) string {
	if placeholder == userPlaceholder {
		return n.user
	}
	return n.client
}

// template is a text with placeholders, in pieces: each is a placeholder or
// literal. The names are compared and never put into it, so that no filter is
// made for each of ten thousand clients, and no character of theirs means anything.
type template []string

func parseTemplate(text string) (t template) {
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			return append(t, text)
		}
		if open > 0 {
			t = append(t, text[:open])
		}
		end := open + strings.IndexByte(text[open:], '}') + 1
		if end <= open { // checkPlaceholders refuses it
			return append(t, text[open:])
		}
		t = append(t, text[open:end])
		text = text[end:]
	}
	return t
}

func placeholder(piece string) bool { return piece == userPlaceholder || piece == clientPlaceholder }

// named reports whether there is a placeholder in the template.
func (t template) named() bool {
	for _, piece := range t {
		if placeholder(piece) {
			return true
		}
	}
	return false
}

// cutPrefix returns what follows the template at the beginning of text.
func (t template) cutPrefix(text string, who *names) (rest string, ok bool) {
	for _, piece := range t {
		if placeholder(piece) {
			if piece = who.of(piece); piece == "" {
				return "", false
			}
		}
		if text, ok = strings.CutPrefix(text, piece); !ok {
			return "", false
		}
	}
	return text, true
}

// cutSuffix returns what comes before the template at the end of text.
func (t template) cutSuffix(text string, who *names) (rest string, ok bool) {
	for i := len(t) - 1; i >= 0; i-- {
		piece := t[i]
		if placeholder(piece) {
			if piece = who.of(piece); piece == "" {
				return "", false
			}
		}
		if text, ok = strings.CutSuffix(text, piece); !ok {
			return "", false
		}
	}
	return text, true
}

// is reports whether text is the template, filled in.
func (t template) is(text string, who *names) bool {
	rest, ok := t.cutPrefix(text, who)
	return ok && rest == ""
}

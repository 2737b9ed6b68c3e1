package wire

import "bytes"

// inline reads a request that is typed as a line of words, as a person does with telnet.
func (r *Reader) inline(in []byte, args [][]byte, limits *Limits) ([][]byte, int, error) {
	end := bytes.IndexByte(in[r.seen:], '\n')
	if end < 0 {
		r.seen = int32(len(in))
		if len(in) > MaxInline {
			return args, 0, errInlineTooBig
		}
		return args, 0, nil
	}
	end += int(r.seen)
	*r = Reader{}
	line := in[:end]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	before := len(args)
	args, ok := words(line, args)
	switch {
	case !ok:
		return args, 0, errUnbalanced
	case len(args)-before > limits.Args:
		return args, 0, errCount
	}
	return args, end + 1, nil
}

// words splits a line by the rules of Redis: words end at blanks; "…" takes the escapes \n \r \t \b \a \xHH and \ before any other
// byte; '…' takes \' alone; a closing quote ends the word. It reports false if a quote is not closed, or
// not followed by a blank.
func words(line []byte, args [][]byte) ([][]byte, bool) {
	for i := 0; ; {
		for i < len(line) && blank(line[i]) {
			i++
		}
		if i == len(line) {
			return args, true
		}
		from := i
		for i < len(line) && !ends(line[i]) && line[i] != '"' && line[i] != '\'' {
			i++
		}
		if i == len(line) || ends(line[i]) {
			args = append(args, line[from:i:i])
			continue
		}
		word, next, ok := quoted(line, from, i)
		if !ok {
			return args, false
		}
		args = append(args, word)
		i = next
	}
}

// quoted reads the word that begins at from and has its first quote at i. It returns where the word ends.
func quoted(line []byte, from, i int) (word []byte, next int, ok bool) {
	word = append(word, line[from:i]...) // no guess at its length: a line may hold 20 000 quoted words
	quote := line[i]
	for i++; i < len(line); i++ {
		b := line[i]
		switch {
		case b == quote:
			if i+1 < len(line) && !blank(line[i+1]) {
				return nil, 0, false
			}
			return word, i + 1, true
		case b != '\\' || i+1 == len(line):
			word = append(word, b)
		case quote == '\'':
			if line[i+1] == '\'' {
				i++
			}
			word = append(word, line[i])
		default:
			b, i = escape(line, i+1)
			word = append(word, b)
		}
	}
	return nil, 0, false
}

// escape reads what stands at i, behind a backslash, and returns where that ends.
func escape(line []byte, i int) (b byte, last int) {
	switch line[i] {
	case 'n':
		return '\n', i
	case 'r':
		return '\r', i
	case 't':
		return '\t', i
	case 'b':
		return '\b', i
	case 'a':
		return '\a', i
	case 'x':
		if i+2 < len(line) {
			high, ok1 := hex(line[i+1])
			low, ok2 := hex(line[i+2])
			if ok1 && ok2 {
				return high<<4 | low, i + 2
			}
		}
	}
	return line[i], i
}

func hex(b byte) (n byte, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return b | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// blank is C's isspace.
func blank(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }

// ends tells whether b ends a word outside of quotes. \v and \f do not, although they are skipped before a word.
func ends(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

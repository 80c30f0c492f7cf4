package report

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean shows text of strangers on a terminal as text: what would move the cursor, colour the screen or turn the
// writing direction is written out as in Go ("\x1b"); line breaks and tabs become blanks.
func clean(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(r)):
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[i])|0x100, 16)[1:]) // a byte that is no UTF-8
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// columns is the width of text on a terminal, where each rune is taken for one column.
func columns(text string) int { return utf8.RuneCountInString(text) }

// pad fills text with blanks to so many columns.
func pad(text string, width int) string { return text + blanks(width-columns(text)) }

// padLeft is pad with the blanks in front.
func padLeft(text string, width int) string { return blanks(width-columns(text)) + text }

func blanks(n int) string { return strings.Repeat(" ", max(0, n)) }

// cut shortens text to so many columns, at least one, and shows that it did.
func cut(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// wrap sets text on lines of at most so many columns, broken at blanks and, where a word is longer than a line,
// inside the word: nothing is left out.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && columns(line)+1+columns(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for columns(word) > width {
			runes := []rune(word)
			lines = append(lines, string(runes[:width]))
			word = string(runes[width:])
		}
		line = word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

package config

import (
	"strings"
	"unicode/utf8"
)

// suggest returns the candidate most like word, if one is so like it that it may have been meant.
func suggest(word string, candidates []string) (string, bool) {
	const longest = 64 // beyond that nobody mistypes a key
	n := utf8.RuneCountInString(word)
	best, least := "", max(1, n/3)+1
	if n > longest {
		return "", false
	}
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if len(word) >= 4 && (strings.HasPrefix(strings.ToLower(c), strings.ToLower(word)) || strings.HasPrefix(strings.ToLower(word), strings.ToLower(c))) {
			d = min(d, 1)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best, best != ""
}

// didYouMean is a suggestion as the end of a message, or nothing.
func didYouMean(word string, candidates []string) string {
	if best, ok := suggest(word, candidates); ok {
		return "; did you mean " + best + "?"
	}
	return ""
}

// distance counts the characters to insert, remove, replace or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

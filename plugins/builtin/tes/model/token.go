package model

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// sumSize is how much of a hash a token carries. It finds mistakes; that a token
// opens nothing is its server's doing, which asks who the caller is on every page.
const sumSize = 12

func tokenSum(mark []byte, next string) []byte {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(mark))))
	h.Write(mark)
	h.Write([]byte(next))
	return h.Sum(nil)[:sumSize]
}

// Mark joins what a page token is good for, such as the caller and the conditions of
// a list, so that no two lists of words give the same bytes.
func Mark(words ...string) (mark []byte) {
	for _, w := range words {
		mark = binary.AppendUvarint(mark, uint64(len(w)))
		mark = append(mark, w...)
	}
	return mark
}

// PageToken gives the token for the page that begins after next.
func PageToken(next string, mark []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(tokenSum(mark, next), next...))
}

var errPageToken = errors.New("not a token of this list")

// ReadPageToken gives what PageToken was given. A token that was made with another
// mark, or by nobody, is an error.
func ReadPageToken(token string, mark []byte) (next string, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= sumSize || string(tokenSum(mark, string(b[sumSize:]))) != string(b[:sumSize]) {
		return "", errPageToken
	}
	return string(b[sumSize:]), nil
}

package gateway

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"tresor/app/fault"
)

// maxComplaint bounds what is read of an answer that holds no file, in bytes.
const maxComplaint = 8 << 10

// answered says what an answer without the file means, and who can do something.
func (to spot) answered(resp *http.Response) error {
	status, word := resp.StatusCode, complaint(resp.Body)
	cause := fmt.Errorf("source %s: status %d %s", to.src.Prefix, status, word)
	said := fmt.Sprint(status)
	if word != "" {
		said += ", " + word
	}
	say := func(next, format string) error {
		return &refusal{code: CodeUnavailable, err: fault.WithNext(fault.Kinded("gateway.fetch", fault.Unavailable, cause, format, quoted(shown(to.raw)), said), "%s", next)}
	}
	const other = " Some sources answer so for a file that is not there, too: check the address."
	closed := status == http.StatusUnauthorized || status == http.StatusForbidden
	signed := to.src.Kind == SourceS3 && (status == http.StatusBadRequest || status == http.StatusMovedPermanently) // the region may be another
	sent := resp.Request != nil && resp.Request.Header.Get("Authorization") != ""
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return malformed("There is no file at %s.", quoted(shown(to.raw)))
	case closed && !sent:
		return say("Ask the operator of this server to give the source one."+other, "The source of the file at %s wants a credential that this server does not have for it (%s).")
	case sent && (closed || signed):
		return say("Ask the operator of this server to check the source's credential: the key, its rights and region, and the server's clock."+other, "The source of the file at %s does not take the credential that this server has for it (%s).")
	}
	return unreachable(to.raw, cause)
}

// complaintWord is what S3 calls a reason.
var complaintWord = regexp.MustCompile(`^[A-Za-z]{1,40}$`)

// complaint is the reason that an answer in the form of S3 gives, one word; empty: none.
func complaint(body io.Reader) string {
	var e struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
	}
	if xml.NewDecoder(io.LimitReader(body, maxComplaint)).Decode(&e) != nil || !complaintWord.MatchString(e.Code) {
		return ""
	}
	return e.Code
}

package gateway

import (
	"errors"
	"net/http"
	"strings"

	"tresor/app/fault"
	"tresor/plugins/protocol"
)

// refusal is an error with a code of the gateway's vocabulary.
type refusal struct {
	code string
	err  error
}

func (r *refusal) Error() string { return r.code + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refuse makes a refusal: what happened, and the next step.
func refuse(code string, kind fault.Kind, next, format string, args ...any) error {
	return &refusal{code: code, err: fault.WithNext(fault.New("gateway", kind, format, args...), "%s", next)}
}

// coded gives an error of another package the code that callers know.
func coded(code string, err error) error {
	var r *refusal
	if err == nil || errors.As(err, &r) {
		return err
	}
	return &refusal{code: code, err: err}
}

// codes are what kinds mean when nobody said more.
var codes = map[fault.Kind]string{
	fault.Internal: CodeInternal, fault.NotFound: CodeNotFound, fault.Invalid: CodeMalformed, fault.Denied: CodeNotMember,
	fault.Conflict: CodeConflict, fault.Unavailable: CodeUnavailable, fault.Exhausted: CodeQuota,
}

func codeOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.code
	}
	return codes[fault.KindOf(err)]
}

// statuses of codes whose kind does not say it.
var statuses = map[string]int{
	CodeUnknown: http.StatusUnauthorized, CodeTooLarge: http.StatusRequestEntityTooLarge, CodeMethod: http.StatusMethodNotAllowed,
	CodeUnsupportedType: http.StatusUnsupportedMediaType, CodePaused: http.StatusServiceUnavailable,
}

var kindStatus = map[fault.Kind]int{
	fault.Internal: http.StatusInternalServerError, fault.NotFound: http.StatusNotFound, fault.Invalid: http.StatusBadRequest,
	fault.Denied: http.StatusForbidden, fault.Conflict: http.StatusConflict, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Exhausted: http.StatusTooManyRequests,
}

func statusOf(err error) int {
	if st, ok := statuses[codeOf(err)]; ok {
		return st
	}
	return kindStatus[fault.KindOf(err)]
}

var wireCodes = map[fault.Kind]string{
	fault.Internal: protocol.CodeInternal, fault.NotFound: protocol.CodeNotFound, fault.Invalid: protocol.CodeInvalid,
	fault.Denied: protocol.CodeDenied, fault.Conflict: protocol.CodeConflict, fault.Unavailable: protocol.CodeUnavailable,
	fault.Exhausted: protocol.CodeExhausted,
}

// wire is the error as a plugin gets it: one sentence for people, the code, and
// the number by which the operator finds the cause. It never holds a cause.
func wire(err error, correlation string) error {
	if err == nil {
		return nil
	}
	return &protocol.Error{Code: wireCodes[fault.KindOf(err)], Text: sentence(err) + " (" + codeOf(err) + "; reference " + correlation + ")"}
}

// sentence is what happened and the next step, unless the one holds the other.
func sentence(err error) string {
	text := fault.Message(err)
	if next := fault.Next(err); next != "" && !strings.Contains(text, next) {
		text += " " + next
	}
	return text
}

// notFound is the one answer for what is not there and for what is another's.
func notFound() error {
	return refuse(CodeNotFound, fault.NotFound, "Check the id, and that this is the server and the token with which it was made.", "There is no such task, or it is not yours.")
}

// noProject is the one answer for a project that is not there and for one that
// the caller may not use.
func noProject() error {
	return refuse(CodeNoProject, fault.Denied, "Name a project that a project lead has opened to you, or ask the lead.", "There is no such project, or you may not send work to it.")
}

func nobodyAnswers() error {
	return refuse(CodeNotMember, fault.Denied, "Ask the lead of the project to name a member who answers for it.", "Nobody who may work in this project answers for this request any more.")
}

func noDataset() error {
	return refuse(CodeNoDataset, fault.Denied, "Ask the project's lead which datasets you may use, and name one of them.", "There is no such dataset or file, or you may not use it in this project.")
}

func malformed(format string, args ...any) error {
	return refuse(CodeMalformed, fault.Invalid, "Correct the request and send it again.", format, args...)
}

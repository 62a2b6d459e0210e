package tesclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// strict fills v and refuses what the schema does not allow: unknown keys, null,
// a time that is there and empty, anything behind the value.
func strict(b []byte, v any) error {
	if err := noNull(b); err != nil {
		return err
	}
	for _, key := range []string{"creation_time", "start_time", "end_time"} {
		if bytes.Contains(b, []byte(`"`+key+`":""`)) || bytes.Contains(b, []byte(`"`+key+`": ""`)) {
			return fmt.Errorf("%s is an empty string in %.300s", key, b)
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w in %.300s", err, b)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is something behind the answer: %.300s", b)
	}
	return nil
}

// noNull refuses null anywhere: no property of the schema is nullable.
func noNull(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if tok == nil {
			return fmt.Errorf("null in %.300s", b)
		}
	}
}

// check holds a task of an answer against the schema and the view.
func (t Task) check(view string) error {
	if t.ID == "" || !slices.Contains(states, t.State) {
		return fmt.Errorf("task %q has state %q", t.ID, t.State)
	}
	if view == "" || view == "MINIMAL" {
		if t.Executors != nil || t.Logs != nil || t.CreationTime != "" || t.Name != "" || t.Tags != nil || t.Inputs != nil || t.Outputs != nil || t.Resources != nil || t.Volumes != nil || t.Description != "" {
			return fmt.Errorf("task %s has more than id and state in MINIMAL", t.ID)
		}
		return nil
	}
	if len(t.Executors) == 0 {
		return fmt.Errorf("task %s has no executors in %s", t.ID, view)
	}
	for _, in := range t.Inputs {
		if view == "BASIC" && in.Content != "" {
			return fmt.Errorf("task %s shows input content in BASIC", t.ID)
		}
		if in.Type != "" && in.Type != "FILE" && in.Type != "DIRECTORY" || !strings.HasPrefix(in.Path, "/") {
			return fmt.Errorf("task %s has input %+v", t.ID, in)
		}
	}
	for _, l := range t.Logs {
		if err := l.check(view); err != nil {
			return fmt.Errorf("task %s: %w", t.ID, err)
		}
	}
	return isTime(t.CreationTime)
}

func (l TaskLog) check(view string) error {
	if l.Logs == nil || l.Outputs == nil {
		return errors.New("a task log lacks logs or outputs")
	}
	if view == "BASIC" && l.SystemLogs != nil {
		return errors.New("system_logs in BASIC")
	}
	for _, e := range l.Logs {
		if e.ExitCode == nil {
			return errors.New("an executor log has no exit code")
		}
		if view == "BASIC" && (e.Stdout != "" || e.Stderr != "") {
			return errors.New("stdout or stderr in BASIC")
		}
		if err := errors.Join(isTime(e.StartTime), isTime(e.EndTime)); err != nil {
			return err
		}
	}
	for _, o := range l.Outputs {
		if _, err := strconv.ParseUint(o.SizeBytes, 10, 63); err != nil || o.URL == "" || !strings.HasPrefix(o.Path, "/") {
			return fmt.Errorf("output %+v", o)
		}
	}
	return errors.Join(isTime(l.StartTime), isTime(l.EndTime))
}

func isTime(s string) error {
	if s == "" {
		return nil // absent
	}
	_, err := time.Parse(time.RFC3339Nano, s)
	return err
}

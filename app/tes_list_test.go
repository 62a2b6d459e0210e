package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tresor/app/apptest/tesclient"
)

// lists asks for what stock clients ask: views, pages, filters, and refusals.
func (r *tesRig) lists(t *testing.T) {
	ctx := t.Context()
	var ids []string
	for i := range 7 {
		tags := map[string]string{"batch": "lists", "n": fmt.Sprint(i % 2), "empty": ""}
		id, err := r.client.Create(ctx, tesclient.Task{Name: fmt.Sprintf("list-%d", i), Executors: []tesclient.Executor{{Image: "nowhere/waits:1", Command: []string{"true"}}}, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	t.Cleanup(func() {
		for _, id := range ids {
			_ = r.client.Cancel(context.Background(), id)
		}
	})
	slices.Reverse(ids) // newest first
	for name, c := range map[string]struct {
		q    tesclient.Query
		want []string
	}{
		"one tag":                     {tesclient.Query{Keys: []string{"batch"}, Values: []string{"lists"}}, ids},
		"a tag of any value":          {tesclient.Query{Keys: []string{"empty"}}, ids},
		"a tag whose value is empty":  {tesclient.Query{Keys: []string{"empty"}, Values: []string{""}}, ids},
		"more keys than values":       {tesclient.Query{Keys: []string{"n", "batch", "empty"}, Values: []string{"1", "lists"}}, []string{ids[1], ids[3], ids[5]}},
		"another value":               {tesclient.Query{Keys: []string{"batch"}, Values: []string{"other"}}, nil},
		"the beginning of the name":   {tesclient.Query{NamePrefix: "list-3"}, []string{ids[3]}},
		"state, name and tag at once": {tesclient.Query{State: tesclient.Queued, NamePrefix: "list-", Keys: []string{"n"}, Values: []string{"0"}}, []string{ids[0], ids[2], ids[4], ids[6]}},
		"a state that never occurs":   {tesclient.Query{State: tesclient.Paused}, nil},
	} {
		for _, view := range []string{"", "BASIC", "FULL"} {
			for _, size := range []int{0, 1, 3, 7} {
				c.q.View, c.q.Size = view, size
				var got []string
				all, err := r.client.Walk(ctx, c.q)
				for _, task := range all {
					got = append(got, task.ID)
				}
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s, view %q, pages of %d: %v, %v, want %v", name, view, size, got, err, c.want)
				}
			}
		}
	}
	r.badQueries(t)
}

func (r *tesRig) badQueries(t *testing.T) {
	for name, q := range map[string]tesclient.Query{
		"a page token that nobody gave": {Token: "garbage"},
		"a page of nothing":             {Size: -1},
		"a page that is too large":      {Size: 2048},
		"a view that does not exist":    {View: "HUGE"},
		"a state that does not exist":   {State: "ASLEEP"},
	} {
		_, err := r.client.List(t.Context(), q)
		var refused *tesclient.Refused
		if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
			t.Errorf("%s: %v, want 400", name, err)
		}
	}
	for name, task := range map[string]tesclient.Task{
		"no executor":               {Name: "x"},
		"no command":                {Executors: []tesclient.Executor{{Image: "a"}}},
		"a path that is not one":    {Executors: []tesclient.Executor{shell("true")}, Outputs: []tesclient.Output{{Path: "out.txt", URL: "s3://b/x"}}},
		"a file of the host":        {Executors: []tesclient.Executor{shell("true")}, Inputs: []tesclient.Input{{Path: "/in/x", URL: "file:///etc/shadow"}}},
		"a source nobody allowed":   {Executors: []tesclient.Executor{shell("true")}, Inputs: []tesclient.Input{{Path: "/in/x", URL: "https://example.org/x"}}},
		"another project":           {Executors: []tesclient.Executor{shell("true")}, Tags: map[string]string{"project": "other"}},
		"data that is not granted":  {Executors: []tesclient.Executor{shell("true")}, Inputs: []tesclient.Input{{Path: "/in/x", URL: "tresor://dataset/none/x"}}},
		"a folder of the system":    {Executors: []tesclient.Executor{shell("true")}, Volumes: []string{"/usr/lib"}},
		"an unknown parameter kept": {Executors: []tesclient.Executor{shell("true")}, Resources: &tesclient.Resources{Backend: map[string]string{"VmSize": "big"}, Strict: true}},
	} {
		_, err := r.client.Create(t.Context(), task)
		var refused *tesclient.Refused
		if !errors.As(err, &refused) || refused.Status < 400 || refused.Status > 404 {
			t.Errorf("%s: %v, want a refusal", name, err)
			continue
		}
		for _, secret := range []string{"/etc/shadow:", "/work/", "sqlite", "goroutine", ".go:"} {
			if strings.Contains(refused.Body, secret) {
				t.Errorf("%s: the refusal says %q: %s", name, secret, refused.Body)
			}
		}
	}
}

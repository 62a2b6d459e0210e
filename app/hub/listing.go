package hub

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

// query is what a request asks for. Empty counts as absent.
type query struct {
	view   model.View
	size   int
	token  string
	after  string // id of the last task of the page before, as the token says
	prefix string
	state  model.State
	tags   []tagCondition
}

type tagCondition struct {
	key, value string
	any        bool
}

func wrongQuery(name, text string) error { return &model.Problem{Path: name, Text: text} }

func readQuery(raw string) (q query, err error) {
	if len(raw) > 32<<10 {
		return q, wrongQuery("", "The query of the address is too long; ask with fewer conditions.")
	}
	v, err := url.ParseQuery(raw)
	if err != nil {
		return q, wrongQuery("", "The query of the address cannot be read; escape what stands behind the question mark.")
	}
	for name, values := range v {
		if len(values) > 1 && name != "tag_key" && name != "tag_value" {
			return q, wrongQuery(name, "The parameter is given more than once; give it once.")
		}
		for _, s := range values {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return q, wrongQuery(name, "The parameter is not UTF-8 text.")
			}
		}
	}
	var ok bool
	if q.view, ok = model.ParseView(v.Get("view")); !ok {
		return q, wrongQuery("view", "There is no view "+model.Quote(v.Get("view"))+"; ask for MINIMAL, BASIC or FULL.")
	}
	q.state, q.prefix, q.size = model.State(v.Get("state")), v.Get("name_prefix"), model.DefaultPage
	if q.state != "" && !q.state.Valid() {
		return q, wrongQuery("state", "There is no state "+model.Quote(string(q.state))+".")
	}
	if s := v.Get("page_size"); s != "" {
		if q.size, err = strconv.Atoi(s); err != nil || q.size < 1 || q.size > model.MaxPageSize {
			return q, wrongQuery("page_size", "Ask for a whole number from 1 to "+strconv.Itoa(model.MaxPageSize)+".")
		}
	}
	q.token = v.Get("page_token")
	return q, q.readTags(v["tag_key"], v["tag_value"])
}

// readTags pairs keys and values by position; a value that is missing or empty
// asks for the key with any value.
func (q *query) readTags(keys, values []string) error {
	if len(keys) > model.MaxQueryTags {
		return wrongQuery("tag_key", "At most "+strconv.Itoa(model.MaxQueryTags)+" conditions on tags are taken.")
	}
	if len(values) > len(keys) {
		return wrongQuery("tag_value", "There are more values than keys; each tag_value belongs to the tag_key in the same place.")
	}
	for i, k := range keys {
		t := tagCondition{key: k, any: true}
		if i < len(values) && values[i] != "" {
			t.value, t.any = values[i], false
		}
		if k == "" && !t.any {
			return wrongQuery("tag_value", "A tag_value stands without its tag_key.")
		}
		if k != "" {
			q.tags = append(q.tags, t)
		}
	}
	return nil
}

// mark stands for the caller and the conditions of a list. A token is good for both
// only; the view and the size of pages may change on the way.
func (q query) mark(c caller) []byte {
	words := []string{"hub page 1", c.person, c.project, q.prefix, string(q.state)}
	for _, t := range q.tags {
		words = append(words, t.key, t.value)
	}
	return model.Mark(words...)
}

// where gives the conditions on hub_task t.
func (q query) where(project string) (string, []any) {
	text, args := `t.project = ?`, []any{project}
	add := func(s string, a ...any) { text, args = text+" AND "+s, append(args, a...) }
	if q.after != "" {
		add(`t.id < ?`, q.after)
	}
	if q.state != "" {
		add(`t.state = ?`, string(q.state))
	}
	if q.prefix != "" {
		add(`substr(t.name, 1, ?) = ?`, utf8.RuneCountInString(q.prefix), q.prefix)
	}
	for _, t := range q.tags {
		if t.any {
			add(`EXISTS (SELECT 1 FROM hub_tag g WHERE g.project = t.project AND g.key = ? AND g.task = t.id)`, t.key)
		} else {
			add(`EXISTS (SELECT 1 FROM hub_tag g WHERE g.project = t.project AND g.key = ? AND g.value = ? AND g.task = t.id)`, t.key, t.value)
		}
	}
	return text, args
}

// maxPage bounds the body of a list, in bytes. A page that would become larger
// holds fewer tasks; its token goes on where it ends.
const maxPage = 4 << 20

func (s *Service) list(w http.ResponseWriter, r *http.Request, c caller) error {
	q, err := readQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	mark := q.mark(c)
	if q.token != "" {
		if q.after, err = model.ReadPageToken(q.token, mark); err != nil {
			return wrongQuery("page_token", "This is no token of this list. Use the next_page_token of the page before, as the same person and with the same name_prefix, state and tags, or begin again without one.")
		}
	}
	var body []byte
	err = s.DB.View(r.Context(), func(tx *store.Tx) error {
		rows, err := q.rows(tx, c.project)
		if err != nil {
			return err
		}
		body = append(body, `{"tasks":[`...)
		next := ""
		for i := range rows {
			if i == q.size || len(body) > maxPage {
				next = model.PageToken(rows[i-1].id, mark)
				break
			}
			if i > 0 {
				body = append(body, ',')
			}
			if body, err = s.appendTask(tx, body, &rows[i], q.view); err != nil {
				return err
			}
		}
		body = model.AppendListEnd(body, next)
		return nil
	})
	if err != nil {
		return err
	}
	return writeBody(w, body)
}

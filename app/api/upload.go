package api

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
	"time"

	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/live"
)

// Caps of the small parts that come before the files.
const (
	dictionaryMax = 4 << 20
	noteMax       = 16 << 10
)

// ingest streams the files of a new version, part by part, into the dataset's
// own staging: nothing is held in memory and nothing is written twice. What
// describes the files comes before them.
func (s *Server) ingest(c *call) (dataset.Version, error) {
	d, err := s.Datasets.Get(c.ctx(), c.actor(), c.path("dataset"))
	if err != nil {
		return dataset.Version{}, err
	}
	parts, err := c.r.MultipartReader()
	if err != nil {
		return dataset.Version{}, refuse(http.StatusUnsupportedMediaType, codeMedia, fault.Invalid, "This address takes multipart/form-data with the parts dictionary, note and file.")
	}
	form := &versionForm{parts: parts}
	in, err := form.head()
	if err != nil {
		return dataset.Version{}, err
	}
	in.Progress, in.Total = s.progress("dataset:"+d.ID), max(c.r.ContentLength, 0)
	return s.Datasets.IngestStream(c.ctx(), c.actor(), d.ID, form.next, in)
}

// versionForm reads the parts of one upload in order.
type versionForm struct {
	parts *multipart.Reader
	first *multipart.Part // the first file, already opened by head
}

// head reads everything before the first file.
func (f *versionForm) head() (dataset.Ingestion, error) {
	var in dataset.Ingestion
	for {
		p, err := f.parts.NextPart()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return in, brokenForm(err)
		}
		switch p.FormName() {
		case "file":
			f.first = p
			return in, nil
		case "dictionary":
			err = readDictionary(p, &in)
		case "note":
			err = readNote(p, &in)
		default:
			err = unknownPart(p)
		}
		if err != nil {
			return in, err
		}
	}
}

// next hands over the next file; io.EOF after the last.
func (f *versionForm) next() (dataset.Source, error) {
	p := f.first
	f.first = nil
	if p == nil {
		var err error
		if p, err = f.parts.NextPart(); errors.Is(err, io.EOF) {
			return dataset.Source{}, io.EOF
		} else if err != nil {
			return dataset.Source{}, brokenForm(err)
		}
	}
	switch p.FormName() {
	case "file":
		return dataset.Source{Name: p.FileName(), Size: -1, Open: func() (io.ReadCloser, error) { return p, nil }}, nil
	case "dictionary", "note":
		return dataset.Source{}, fault.New("api.ingest", fault.Invalid, "The part %s comes after a file. Send dictionary and note before the files.", p.FormName())
	}
	return dataset.Source{}, unknownPart(p)
}

func readDictionary(p *multipart.Part, in *dataset.Ingestion) error {
	b, err := readPart(p, dictionaryMax)
	if err == nil {
		in.Dictionary, err = dataset.ParseDictionary(b)
	}
	return err
}

func readNote(p *multipart.Part, in *dataset.Ingestion) error {
	b, err := readPart(p, noteMax)
	in.Note = string(b)
	return err
}

func readPart(p *multipart.Part, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(p, most+1))
	if err != nil {
		return nil, brokenForm(err)
	}
	if int64(len(b)) > most {
		return nil, fault.New("api.ingest", fault.Invalid, "The part %s is larger than %s.", p.FormName(), sizeText(most))
	}
	return b, nil
}

func unknownPart(p *multipart.Part) error {
	return fault.New("api.ingest", fault.Invalid, "There is no part %q here. Send dictionary, note and file.", clip(p.FormName()))
}

func brokenForm(err error) error {
	if isTooLarge(err) {
		return err
	}
	return fault.Kinded("api.ingest", fault.Invalid, err, "The upload broke off or is not a complete form. Nothing was kept; send it again.")
}

// Progress is the data of a live event about long work, in bytes.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"` // 0: not known
}

// progressEvery bounds how often one upload tells how far it is.
const progressEvery = 250 * time.Millisecond

// progress returns a function that tells a live topic how far work has come.
func (s *Server) progress(topic string) func(done, total int64) {
	var mu sync.Mutex
	var last time.Time
	return func(done, total int64) {
		mu.Lock()
		now := s.now()
		due := done == total || now.Sub(last) >= progressEvery
		if due {
			last = now
		}
		mu.Unlock()
		if due {
			s.Live.Publish(topic, live.Event{Type: "progress", At: now, Data: Progress{Done: done, Total: total}})
		}
	}
}

package protocol

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var described = Description{Name: "x", Title: "X", Version: "1", Protocol: "x 1", Settings: []Setting{
	{Key: "name", Label: "Name", Kind: KindText, Default: "anybody"},
	{Key: "hub", Label: "Hub", Kind: KindURL, Required: true},
	{Key: "token", Label: "Token", Kind: KindSecret},
	{Key: "every", Label: "Every", Kind: KindNumber, Default: "30"},
	{Key: "mode", Label: "Mode", Kind: KindChoice, Choices: []string{"ask", "off"}},
	{Key: "on", Label: "On", Kind: KindSwitch},
}}

func TestCheckSettings(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Settings
		want string // in the text; "" is well
	}{
		{"well", Settings{"hub": "https://h.example/x"}, ""},
		{"all", Settings{"hub": "http://h", "token": "a\nb", "every": "1.5", "mode": "off", "on": "true", "name": "ß"}, ""},
		{"nothing", nil, "Hub: enter a value"},
		{"blank", Settings{"hub": "  "}, "Hub: enter a value"},
		{"no scheme", Settings{"hub": "h.example"}, "Hub: enter a full web address"},
		{"another scheme", Settings{"hub": "file:///etc/passwd"}, "Hub: enter a full web address"},
		{"a user in the address", Settings{"hub": "https://a:b@h"}, "Hub: enter a full web address"},
		{"not a number", Settings{"hub": "https://h", "every": "often"}, "Every: enter a number"},
		{"infinite", Settings{"hub": "https://h", "every": "Inf"}, "Every: enter a number"},
		{"not a choice", Settings{"hub": "https://h", "mode": "on"}, "choose one of ask, off"},
		{"not a switch", Settings{"hub": "https://h", "on": "yes"}, "true or false"},
		{"a line break", Settings{"hub": "https://h", "name": "a\nb"}, "Name: enter plain text"},
		{"not UTF-8", Settings{"hub": "https://h", "name": "\xff"}, "Name: enter plain text"},
		{"too long", Settings{"hub": "https://h", "token": strings.Repeat("x", MaxSetting+1)}, "Token: this is too long"},
		{"unknown", Settings{"hub": "https://h", "other\n": "x"}, `no setting "other\n"`},
	} {
		err := CheckSettings(described, c.s)
		if (err == nil) != (c.want == "") || (err != nil && (code(err) != CodeInvalid || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	given := Settings{"hub": "https://h"}
	if f := Filled(described, given); f["every"] != "30" || f["hub"] != "https://h" || len(given) != 1 {
		t.Errorf("filled %v from %v", f, given)
	}
}

func TestCheckDescription(t *testing.T) {
	if err := CheckDescription(described); err != nil {
		t.Fatal(err)
	}
	with := func(f func(*Description)) Description {
		d := described
		d.Settings = append([]Setting{}, described.Settings...)
		f(&d)
		return d
	}
	for name, d := range map[string]Description{
		"no name":                 with(func(d *Description) { d.Name = "" }),
		"a path as name":          with(func(d *Description) { d.Name = "../x" }),
		"a title with a break":    with(func(d *Description) { d.Title = "a\nb" }),
		"a title of 1 MB":         with(func(d *Description) { d.Title = strings.Repeat("x", 1<<20) }),
		"a key twice":             with(func(d *Description) { d.Settings[1].Key = "name" }),
		"an unknown kind":         with(func(d *Description) { d.Settings[0].Kind = "html" }),
		"a choice of nothing":     with(func(d *Description) { d.Settings[4].Choices = nil }),
		"choices of a text":       with(func(d *Description) { d.Settings[0].Choices = []string{"a"} }),
		"no label":                with(func(d *Description) { d.Settings[0].Label = "" }),
		"a secret with a default": with(func(d *Description) { d.Settings[2].Default = "x" }),
		"a default that is wrong": with(func(d *Description) { d.Settings[3].Default = "x" }),
		"too many":                with(func(d *Description) { d.Settings = make([]Setting, MaxSettings+1) }),
	} {
		if code(CheckDescription(d)) != CodeInvalid {
			t.Errorf("%s: let through", name)
		}
	}
}

func TestSteps(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dated := func(at time.Time) Response {
		return Response{Status: 200, Header: map[string][]string{"Date": {at.Format("Mon, 02 Jan 2006 15:04:05 GMT")}}}
	}
	for _, c := range []struct {
		name string
		add  func(*Steps) bool
		ok   bool
		step string // the last one
	}{
		{"settings", func(s *Steps) bool { return s.Settings(described, nil) }, false, StepSettings},
		{"settings well", func(s *Steps) bool { return s.Settings(described, Settings{"hub": "https://h"}) }, true, StepSettings},
		{"host", func(s *Steps) bool { return s.Host(&Error{Code: CodeDenied, Text: "no"}) }, false, StepHost},
		{"reached", func(s *Steps) bool { return s.Fetched("https://h", Response{Status: 200}, nil) }, true, StepTLS},
		{"reached without TLS", func(s *Steps) bool { return s.Fetched("http://h", Response{Status: 200}, nil) }, true, StepProxy},
		{"no name", func(s *Steps) bool { return s.Fetched("https://h", Response{}, errors.New("lookup h: no such host")) }, false, StepDNS},
		{"bad certificate", func(s *Steps) bool {
			return s.Fetched("https://h", Response{}, &Error{Code: CodeUnavailable, Text: "certificate has expired"})
		}, false, StepTLS},
		{"proxy asks", func(s *Steps) bool { return s.Fetched("https://h", Response{Status: 407}, nil) }, false, StepProxy},
		{"refused by the host", func(s *Steps) bool {
			return s.Fetched("https://h", Response{}, &Error{Code: CodeDenied, Text: "not an allowed source"})
		}, false, StepProxy},
		{"unreachable", func(s *Steps) bool { return s.Fetched("https://h", Response{}, errors.New("connection refused")) }, false, StepProxy},
		{"clock", func(s *Steps) bool { return s.Clock(dated(now.Add(4*time.Minute)), now) }, true, StepClock},
		{"clock off", func(s *Steps) bool { return s.Clock(dated(now.Add(-6*time.Minute)), now) }, false, StepClock},
		{"no clock", func(s *Steps) bool { return s.Clock(Response{}, now) }, true, StepClock},
		{"unknown to them", func(s *Steps) bool { return s.Credentials(Response{Status: 401}) }, false, StepCredentials},
		{"not allowed there", func(s *Steps) bool { return s.Credentials(Response{Status: 403}) }, false, StepCredentials},
		{"wrong address", func(s *Steps) bool { return s.Credentials(Response{Status: 404}) }, false, StepCredentials},
		{"known to them", func(s *Steps) bool { return s.Credentials(Response{Status: 200}) }, true, StepCredentials},
		{"version", func(s *Steps) bool { return s.Version("1.1", "1.1") }, true, StepVersion},
		{"another version", func(s *Steps) bool { return s.Version("1.1", "9\n") }, false, StepVersion},
	} {
		var s Steps
		ok := c.add(&s)
		last := s.List()[len(s.List())-1]
		if ok != c.ok || last.OK != c.ok || last.Name != c.step || last.Detail == "" || (!ok && last.Next == "") {
			t.Errorf("%s: %+v", c.name, s.List())
		}
	}
}

// FuzzSettings: any description and any values are judged, and what is let through
// stays let through with its defaults filled in.
func FuzzSettings(f *testing.F) {
	d, _ := json.Marshal(described)
	f.Add(d, []byte(`{"hub":"https://h"}`))
	f.Add(d, []byte(`{"hub":"https://\u0000","every":"NaN"}`))
	f.Add([]byte(`{"name":"x","settings":[{"key":"a","kind":"choice"}]}`), []byte(`{"a":""}`))
	f.Fuzz(func(t *testing.T, description, values []byte) {
		var d Description
		var s Settings
		if json.Unmarshal(description, &d) != nil || json.Unmarshal(values, &s) != nil {
			return
		}
		if CheckDescription(d) != nil || CheckSettings(d, s) != nil {
			return
		}
		if err := CheckSettings(d, Filled(d, s)); err != nil {
			t.Fatal(err)
		}
		for _, v := range Filled(d, s) {
			if len(v) > MaxSetting {
				t.Fatal("a value over the bound")
			}
		}
	})
}

package tes

import (
	"context"
	"fmt"
	"net/url"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// TestConnection tries what a client meets: the settings that service-info shows,
// the translation of a task, and the host behind it. There is no name, clock or
// proxy to try: clients come in through the appliance's own door.
func (Adapter) TestConnection(ctx context.Context, s protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	return []protocol.Step{settingsStep(s), translationStep(), hostStep(ctx, h)}, nil
}

func settingsStep(s protocol.Settings) protocol.Step {
	step := protocol.Step{Name: protocol.StepSettings, Next: "Correct the settings and test again."}
	d := description()
	if err := protocol.CheckSettings(d, s); err != nil {
		step.Detail = asProblem(err).Detail
		return step
	}
	if c := s[keyContact]; c != "" && !isContact(c) {
		step.Detail = "Contact: enter a full address, such as mailto:help@example.org or https://example.org/help. Strict clients refuse service-info without."
		return step
	}
	step.OK, step.Next = true, ""
	step.Detail = "service-info says " + or(s[keyService], "Tresor") + ", " + or(s[keyOrg], "run by the organisation of this server") + "."
	return step
}

func isContact(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "mailto" && u.Opaque != "" || (u.Scheme == "https" || u.Scheme == "http") && u.Host != "")
}

const sample = `{"name":"connection test","executors":[{"image":"any","command":["true"]}],"tags":{"from":"connection test"}}`

func translationStep() protocol.Step {
	t, err := model.ReadTask([]byte(sample))
	if err == nil {
		_, err = jobOf(&t)
	}
	if err != nil {
		return protocol.Step{Name: protocol.StepVersion, Detail: "A plain task cannot be translated: " + err.Error(), Next: "Report this with its text; the program is damaged."}
	}
	return protocol.Step{Name: protocol.StepVersion, OK: true, Detail: "A task of GA4GH TES " + model.TES11.Version + " is read and translated."}
}

func hostStep(ctx context.Context, h protocol.Host) protocol.Step {
	c, err := h.Visible(ctx)
	if err != nil {
		return protocol.Step{Name: protocol.StepHost, Detail: "The appliance refuses: " + asProblem(err).Detail, Next: "Restart the plugin; if it stays, report it with this text."}
	}
	return protocol.Step{Name: protocol.StepHost, OK: true, Detail: fmt.Sprintf("The appliance answers. Projects that this test may see: %d; datasets: %d.", len(c.Projects), len(c.Datasets))}
}

package job

import (
	"context"
	"io"
	"os"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

func (h *house) logOf(id string, from int64) string {
	h.t.Helper()
	r, _, err := h.job.LogContent(context.Background(), id, from)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// lookFor is a command that succeeds when all the paths are there.
func lookFor(paths ...string) fake.Func {
	return func(_ context.Context, tk *fake.Task) int {
		for _, p := range paths {
			if _, err := os.Stat(tk.Path(p)); err != nil {
				return 5
			}
		}
		if tk.WriteFile("/work/out/a.csv", []byte("a\n1\n")) != nil {
			return 6
		}
		return 0
	}
}

// specOf is what the runner would be asked for.
func specOf(sub Submission) sandbox.Spec {
	return sandbox.Spec{Ref: "tresor-a-0-1", Image: imageID, Argv: sub.Tasks[0].Argv, Workdir: sub.Tasks[0].Workdir,
		Binds: []sandbox.Bind{{Source: "/host/in", Target: inFolder}}, Scratch: []sandbox.Scratch{{Name: "tresor-a", Target: workFolder}},
		Outputs: sub.Outputs, Limits: sandbox.Limits{}.WithDefaults()}
}

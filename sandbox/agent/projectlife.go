package agent

import (
	"fmt"
	"time"
)

// projectPatience is how long a command waits for the project's files while the host is away.
const projectPatience = time.Minute

// openProject fills the folder that is kept in step with the project. The error is for people, or stoppedEarly.
func (c *command) openProject() error {
	if c.config.Project == "" {
		return nil
	}
	p := NewProject(c.config.Project, c.config.Project, c.config.FileSize, c.door.dial, c.spool.Say)
	late := time.Now().Add(projectPatience)
	for {
		err := p.Fetch(c.ctx)
		if err == nil {
			c.project = p
			return nil
		}
		if c.ctx.Err() != nil {
			return stoppedEarly
		}
		if final(err) || time.Now().After(late) {
			return fmt.Errorf("the project's files could not be laid out in %s: %w", c.config.Project, err)
		}
		time.Sleep(sendPause)
	}
}

// leaveProject sends what the command has left in the folder. A command that was stopped
// or ran out of its time leaves no more than it had sent; what one that was killed held
// open, the engine's own notes, is not whole.
func (c *command) leaveProject() {
	if c.project == nil {
		return
	}
	if c.ctx.Err() != nil {
		c.spool.Say("what is new in %s since the last task was made is not kept in the project, because the command was stopped", c.config.Project)
		return
	}
	c.project.Finish(c.ctx, c.exitCode() < 128)
}

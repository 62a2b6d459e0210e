package job

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/tree"
)

// What one caller can ask for many times over has a bound, or costs no more than once.

// TestAProgramThatAlternates: the last pieces of a log whose stream changes with every
// byte are found in one pass.
func TestAProgramThatAlternates(t *testing.T) {
	list := make([]change, maxStreams)
	for i := range list {
		list[i] = change{int64(i), i%2 == 0}
	}
	got := pieces(list, maxStreams, true, maxStreams)
	if len(got) != maxStreams/2 || got[0] != (piece{0, 1}) || got[len(got)-1] != (piece{maxStreams - 2, maxStreams - 1}) {
		t.Fatalf("%d pieces, from %v to %v", len(got), got[0], got[len(got)-1])
	}
	if n := testing.AllocsPerRun(1, func() { pieces(list, maxStreams, true, maxStreams) }); n > 100 {
		t.Errorf("%v allocations: each piece moved all others", n)
	}
}

// manyFiles puts n files into a folder of the tree of alpha.
func (h *house) manyFiles(folder string, n int) {
	h.t.Helper()
	kept := h.put("one", "x")
	var files []tree.File
	for i := range n {
		files = append(files, tree.File{Path: fmt.Sprintf("%s/%05d", folder, i), SHA256: kept.SHA256, Size: kept.Size})
	}
	err := h.db.Update(context.Background(), func(tx *store.Tx) error { return h.tree.Put(tx, access.System, h.alpha.ID, "", files) })
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestFoldersThatAreInputsAreBoundedTogether(t *testing.T) {
	h := newHouse(t)
	h.manyFiles("in", maxTreeFolder)
	sub := h.placed("true")
	for i := range maxTreeFiles / maxTreeFolder {
		sub.Places = append(sub.Places, Place{Path: fmt.Sprintf("/w/%d", i), Directory: true, Tree: "in"})
	}
	j := h.submit(sub)
	if n := len(h.get(j.ID).Places[0].Files); n != maxTreeFolder {
		t.Errorf("the job names %d files of the folder", n)
	}
	list, err := h.job.List(context.Background(), h.in(rosa), Filter{})
	if err != nil || len(list) != 1 || list[0].Places == nil || len(list[0].Places) != 0 {
		t.Errorf("a list holds the places of its jobs: %d jobs, %v", len(list), err)
	}
	sub.Places = append(sub.Places, Place{Path: "/w/more", Directory: true, Tree: "in"})
	_, err = h.job.Submit(context.Background(), h.in(rosa), sub)
	wantFault(t, err, fault.Invalid, "hold more than 20000 files together")
}

// TestOutputsThatNameTheSameFilesAgain: every want of a folder lists each of its files.
func TestOutputsThatNameTheSameFilesAgain(t *testing.T) {
	h := newHouse(t)
	h.script()
	h.run()
	steps := []string{"do"}
	for i := range maxFound/maxWants + 1 {
		steps = append(steps, fmt.Sprintf("put /w/%d x", i))
	}
	sub := h.placed(steps...)
	for i := range maxWants {
		sub.Wants = append(sub.Wants, Want{Path: "/w", Directory: true, Target: fmt.Sprint(i)})
	}
	j := h.until(h.submit(sub).ID, Failed)
	if !strings.Contains(j.Reason, "more than 100000 times") || j.Next == "" || h.found(j.ID) != "" {
		t.Errorf("%q, then %q", j.Reason, j.Next)
	}
}

// TestManyDecisionsOfOthersHideNone: what waits in other projects takes no place on
// somebody's list.
func TestManyDecisionsOfOthersHideNone(t *testing.T) {
	h := newHouse(t)
	every := project.EveryJob
	h.alphaChange(project.Change{Approval: &every, Reason: "test"})
	mine := h.submit(h.task("true"))
	theirs, err := h.projects.Create(context.Background(), access.System, project.Draft{Slug: "theirs", Name: "Project of others", Purpose: "Testing."})
	if err != nil {
		t.Fatal(err)
	}
	err = h.db.Update(context.Background(), func(tx *store.Tx) error {
		for i := range 600 { // older than mine
			other := mine
			other.ID, other.Project, other.Tasks = fmt.Sprintf("018f0000-0000-7000-8000-%012x", i), theirs.ID, nil
			if err := insert(tx, &other, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = h.db.View(context.Background(), func(tx *store.Tx) error {
		turns, err := h.job.Waiting(tx, h.in(lena))
		if len(turns) != 1 || turns[0].Href != "/jobs/"+mine.ID {
			t.Errorf("lena sees %d decisions: %+v", len(turns), turns)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

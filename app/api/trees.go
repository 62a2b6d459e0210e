package api

import (
	"tresor/app/access"
	"tresor/app/store"
	"tresor/app/tree"
)

func (s *Server) treeRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/projects/{project}/tree", Access: by(access.TreeRead), Summary: "List the files that a project keeps inside, by path", Query: []string{"path", "after", "limit"}, endpoint: get(s.listTree)},
		{Method: "DELETE", Path: "/projects/{project}/tree", Access: by(access.TreeErase), Summary: "Erase a file of a project's tree, or everything below a folder", Query: []string{"path!"}, endpoint: get(s.eraseTree)},
	}
}

// Tree is a page of a project's files.
type Tree struct {
	List[tree.File]
	Used  int64 `json:"used" doc:"bytes of all files"`
	Quota int64 `json:"quota" doc:"bytes that the project may use"`
}

// Erased says how much was taken out of a tree.
type Erased struct {
	Files int `json:"files"`
}

// listTree: the tree has no actor in its reads, so the matrix is asked here.
func (s *Server) listTree(c *call) (Tree, error) {
	limit, err := c.limit()
	if err != nil {
		return Tree{}, err
	}
	project, err := s.inProject(c, access.TreeRead)
	if err != nil {
		return Tree{}, err
	}
	out := Tree{Quota: s.Tree.Quota}
	var files []tree.File
	err = s.DB.View(c.ctx(), func(tx *store.Tx) error {
		if files, err = s.Tree.List(tx, project, c.query("path"), c.query("after"), limit); err != nil {
			return err
		}
		out.Used, err = s.Tree.Usage(tx, project)
		return err
	})
	out.List = listOf(files, nextOf(files, limit, func(f tree.File) string { return f.Path }))
	return out, err
}

func (s *Server) eraseTree(c *call) (Erased, error) {
	project, err := s.inProject(c, access.TreeErase)
	if err != nil {
		return Erased{}, err
	}
	n, err := s.Tree.Erase(c.ctx(), c.actor(), project, c.query("path"))
	return Erased{Files: n}, err
}

// inProject returns the id of the project in the address when the caller may do
// the action in it.
func (s *Server) inProject(c *call, action access.Action) (string, error) {
	p, err := s.Projects.Get(c.ctx(), c.actor(), c.path("project"))
	if err != nil {
		return "", err
	}
	return p.ID, access.May(c.actor(), action, access.Thing{Project: p.ID})
}

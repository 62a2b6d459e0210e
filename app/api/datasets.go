package api

import (
	"tresor/app/access"
	"tresor/app/dataset"
	"tresor/app/fault"
)

func (s *Server) datasetRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/datasets", Access: at(SignedIn, access.DatasetRead), Summary: "List the datasets that you may see", endpoint: get(s.listDatasets)},
		{Method: "POST", Path: "/datasets", Access: by(access.DatasetRegister), Summary: "Register a dataset", Need: "slug name controller", endpoint: create(s.registerDataset)},
		{Method: "GET", Path: "/datasets/{dataset}", Access: by(access.DatasetRead), Summary: "Show a dataset with its versions and dictionary", endpoint: get(s.getDataset)},
		{Method: "POST", Path: "/datasets/{dataset}/versions", Access: by(access.DatasetIngest), Summary: "Add a version made of CSV or TSV files", Max: s.Intake.Dataset, endpoint: upload(Multipart, s.ingest)},
		{Method: "GET", Path: "/datasets/{dataset}/versions/{n}", Access: by(access.DatasetRead), Summary: "Show one version of a dataset", endpoint: get(s.getVersion)},
	}
}

func (s *Server) listDatasets(c *call) (List[dataset.Dataset], error) {
	all, err := s.Datasets.List(c.ctx(), c.actor())
	return listOf(all, ""), err
}

func (s *Server) registerDataset(c *call, d dataset.Draft) (dataset.Dataset, error) {
	return s.Datasets.Register(c.ctx(), c.actor(), d)
}

func (s *Server) getDataset(c *call) (dataset.Dataset, error) {
	return s.Datasets.Get(c.ctx(), c.actor(), c.path("dataset"))
}

func (s *Server) getVersion(c *call) (dataset.Version, error) {
	n, err := c.pathNumber("n")
	if err != nil {
		return dataset.Version{}, err
	}
	d, err := s.Datasets.Get(c.ctx(), c.actor(), c.path("dataset"))
	if err != nil {
		return dataset.Version{}, err
	}
	for _, v := range d.Versions {
		if int64(v.N) == n {
			return v, nil
		}
	}
	return dataset.Version{}, fault.New("api.version", fault.NotFound, "This dataset has no version %d.", n)
}

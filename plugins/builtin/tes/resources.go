package tes

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// wallTime is the one backend parameter there is: how long the task may run.
const wallTime = "wall_time_minutes"

// maxMinutes is a year.
const maxMinutes = 366 * 24 * 60

// resources translates what a task asks for, drops the backend parameters that
// nobody here knows, and notes what has no effect.
func resources(r *model.Resources) (protocol.Resources, []string, error) {
	if r == nil {
		return protocol.Resources{}, nil, nil
	}
	res := protocol.Resources{Cores: int(r.CPUCores), RAM: r.RAMGB, Disk: r.DiskGB}
	var notes []string
	if r.DiskGB > 0 {
		notes = append(notes, "disk_gb bounds the size of each file here, and of all outputs together: what is larger is not taken. What a task writes besides is bounded by the disk alone, which is shared and of which nothing is set aside.")
	}
	if r.Preemptible {
		notes = append(notes, "preemptible has no effect here: work is never taken off its machine for other work.")
	}
	if len(r.Zones) > 0 {
		notes = append(notes, "zones have no effect here: this appliance is one place.")
	}
	dropped, err := parameters(r, &res)
	return res, append(notes, dropped...), err
}

// parameters reads the backend parameters. Keys count without regard to case.
func parameters(r *model.Resources, res *protocol.Resources) (notes []string, err error) {
	keys := make([]string, 0, len(r.BackendParameters))
	for k := range r.BackendParameters {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		at := "resources.backend_parameters[" + model.Quote(k) + "]"
		switch {
		case strings.EqualFold(k, wallTime) && res.WallMS != 0:
			return nil, invalid(at, "The parameter is given twice: its name counts without regard to case. Keep one.")
		case strings.EqualFold(k, wallTime):
			n, err := strconv.Atoi(r.BackendParameters[k])
			if err != nil || n < 1 || n > maxMinutes {
				return nil, invalid(at, "Write a whole number of minutes from 1 to "+strconv.Itoa(maxMinutes)+", such as \"90\".")
			}
			res.WallMS = (time.Duration(n) * time.Minute).Milliseconds()
		case r.BackendParametersStrict:
			return nil, invalid(at, "There is no such parameter here, and backend_parameters_strict is set. The only one is "+wallTime+"; remove this one, or do not set strict.")
		default:
			notes = append(notes, "The backend parameter "+model.Quote(k)+" is not known here and was dropped. The only one is "+wallTime+".")
			delete(r.BackendParameters, k)
		}
	}
	return notes, nil
}

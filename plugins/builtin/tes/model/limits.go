package model

// Bounds of a task that is taken. Beyond them the sender is told so; nothing is cut.
const (
	MaxExecutors  = 100
	MaxFiles      = 2000         // inputs; outputs
	MaxVolumes    = 100          // folders
	MaxTags       = 100          // tags of a task
	MaxEnv        = 1000         // variables of one executor
	MaxArguments  = 4000         // of one command
	MaxArgument   = 128<<10 - 1  // bytes of one argument: what Linux takes
	MaxName       = 500          // bytes of a name, an image, a tag's key, a variable's name
	MaxText       = 16 << 10     // bytes of a description, a tag's value
	MaxVariable   = 64 << 10     // bytes of a variable's value
	MaxPath       = 4000         // bytes of a path or an address
	MaxContent    = 256 << 10    // bytes of an input's content; the specification asks for 128 KiB
	MaxZones      = 50           // zones
	MaxParameters = 100          // backend parameters
	MaxCores      = 100_000      // cores
	MaxGB         = 10_000_000.0 // GB of memory or disk
)

// Bounds of a request about tasks.
const (
	MaxQueryTags = 50   // conditions on tags
	MaxPageSize  = 2047 // tasks in a page; the specification: less than 2048
	DefaultPage  = 256  // tasks in a page when the request does not say
	MaxID        = 128  // bytes of an id in an address
)

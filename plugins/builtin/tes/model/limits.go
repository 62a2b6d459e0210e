package model

// Bounds of a task that is taken. Beyond them the sender is told so; nothing is cut.
const (
	MaxExecutors   = 100
	MaxFiles       = 2000        // inputs; outputs
	MaxVolumes     = 100         //
	MaxTags        = 100         // also environment variables of one executor times ten
	MaxEnv         = 1000        //
	MaxArguments   = 4000        // of one command
	MaxArgument    = 128<<10 - 1 // bytes of one argument: what Linux takes
	MaxName        = 500         // bytes of a name, an image, a tag's key, a variable's name
	MaxText        = 16 << 10    // bytes of a description, a tag's value
	MaxVariable    = 64 << 10    // bytes of an environment variable's value
	MaxPath        = 4000        // bytes of a path or an address
	MaxContent     = 256 << 10   // bytes of an input's content; the specification asks for 128 KiB
	MaxZones       = 50          //
	MaxParameters  = 100         // backend parameters
	MaxCores       = 100_000     //
	MaxGB          = 10_000_000  // of memory or disk
	MaxQueryTags   = 50          // conditions on tags in one list request
	MaxPageSize    = 2047        // the specification: less than 2048
	DefaultPage    = 256         // tasks in a page when the request does not say
	MaxTaskIDBytes = 128         // of an id in an address
)

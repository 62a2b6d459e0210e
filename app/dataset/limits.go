package dataset

// What one file may be. Larger ones are refused before memory is spent on them.
const (
	MaxColumns  = 2000      // SQLite's own limit
	MaxRecord   = 1 << 20   // bytes of one record
	MaxRows     = 1 << 32   // data rows of one file
	MaxBytes    = 256 << 30 // bytes of one file
	MaxFiles    = 200       // files of one version
	MaxDistinct = 1000      // distinct values that are counted exactly
)

const (
	blockSize = 1 << 20 // bytes read at once
	slack     = 16      // readable bytes after every block, so that a cell can be loaded as one word
)

package protocoltest

import (
	"errors"

	"tresor/plugins/protocol"
)

func asError(err error, to **protocol.Error) bool { return errors.As(err, to) }

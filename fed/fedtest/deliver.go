package fedtest

import (
	"context"
	"errors"
	"time"

	"tresor/fed/hub"
	"tresor/fed/wire"
)

// Deliver sends an envelope until the node answers for good, as a hub's program does:
// it waits for the node while that is offline and for its task while that runs. It ends
// with the receipt, a refusal that will not change, or the end of ctx.
func (h *Hub) Deliver(ctx context.Context, e *wire.Envelope) (wire.Receipt, error) {
	return Deliver(ctx, h.Hub, h.Clock.Now, e)
}

// Deliver does the same with a hub that was made elsewhere; now is its clock.
func Deliver(ctx context.Context, h *hub.Hub, now func() time.Time, e *wire.Envelope) (wire.Receipt, error) {
	for {
		receipt, err := h.Send(ctx, e)
		var r *wire.Refusal
		if err == nil || errors.As(err, &r) && r.Code.Final() {
			return receipt, err
		}
		if late := e.Fresh(now()); late != nil {
			return receipt, late
		}
		select {
		case <-ctx.Done():
			return receipt, errors.Join(ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

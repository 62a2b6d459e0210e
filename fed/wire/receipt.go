package wire

import "time"

// TasksPath is where a node takes envelopes on its federation door.
const TasksPath = "/fed/v1/tasks"

// LargePath is where a node takes envelopes whose body travels after them: the
// envelope, a newline, the body.
const LargePath = "/fed/v1/tasks/large"

// LinkPath is where a hub takes the links that nodes dial.
const LinkPath = "/fed/v1/link"

// Receipt is a node's answer to an envelope that it executed. The same envelope
// gets the same receipt again.
type Receipt struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Seq    uint64 `json:"seq"`
	Done   int64  `json:"done"` // Unix milliseconds
	Result []byte `json:"result"`
}

// NewReceipt makes a receipt. A result over MaxBody does not encode.
func NewReceipt(id string, seq uint64, done time.Time, result []byte) Receipt {
	if result == nil {
		result = []byte{}
	}
	return Receipt{Type: "receipt", ID: id, Seq: seq, Done: done.UnixMilli(), Result: result}
}

// Encode gives the message, or a refusal when the result is over MaxBody.
func (r Receipt) Encode() ([]byte, error) {
	if len(r.Result) > MaxBody {
		return nil, Refuse(CodeSize, "the answer has %d bytes, at most %d are allowed", len(r.Result), MaxBody)
	}
	return encode(r)
}

// DecodeReceipt reads the answer to e; a refusal in its place is the error.
func DecodeReceipt(data []byte, e *Envelope) (Receipt, error) {
	var r Receipt
	if len(data) <= MaxMessage && IsRefusal(data) {
		return r, refused(data)
	}
	if err := decode(data, MaxEnvelope, &r); err != nil {
		return r, err
	}
	if r.Type != "receipt" || r.ID != e.ID || r.Seq != e.Seq || len(r.Result) > MaxBody {
		return r, Refuse(CodeMalformed, "the node's answer is not for this envelope")
	}
	return r, nil
}

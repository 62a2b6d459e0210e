package airlock_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
	"tresor/app/output"
	"tresor/app/store"
)

// storeTime is how a moment looks in JSON, without the zone.
func storeTime(t *testing.T, ms string) string {
	t.Helper()
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(store.Time(n))
	return strings.Trim(string(b), `"Z`)
}

// overwrite puts other bytes where the vault keeps those of a hash, as a broken
// disk or an intruder would.
func overwrite(h *airlocktest.House, sha256, content string) error {
	return filepath.WalkDir(h.VaultDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(strings.ReplaceAll(p, "/", ""), sha256) {
			return err
		}
		if err := os.Chmod(p, 0o600); err != nil {
			return err
		}
		return os.WriteFile(p, []byte(content), 0o600)
	})
}

// picture makes a png with a text chunk.
func picture(t *testing.T, comment string) string {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 20, 10))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	img.Set(0, 0, color.White)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	chunk := []byte("tEXt" + comment + "\x00hidden words")
	var extra bytes.Buffer
	_ = binary.Write(&extra, binary.BigEndian, uint32(len(chunk)-4))
	extra.Write(chunk)
	_ = binary.Write(&extra, binary.BigEndian, crc32.ChecksumIEEE(chunk))
	const header = 8 + 25
	raw := b.Bytes()
	return string(raw[:header]) + extra.String() + string(raw[header:])
}

// meddler does something while the checks read a file.
type meddler struct {
	airlock.Outputs
	do func()
}

func (m *meddler) Content(o output.Output) (io.ReadSeekCloser, error) {
	m.do()
	return m.Outputs.Content(o)
}

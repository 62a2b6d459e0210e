package check

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
)

// Bounds of a picture, so that a small file cannot unpack into a large one.
const (
	maxSide   = 4000
	maxPixels = 16 << 20
)

var errPicture = errors.New("not a picture that can be read")

// picture checks that a png or jpg is exactly one picture of a sane size.
func picture(c *collector, res *Result, name string, br *bufio.Reader) error {
	raw, err := io.ReadAll(br) // bounded by Profile.MaxFile
	if err != nil {
		return err
	}
	format := "jpg"
	extra, after := jpegParts(raw)
	if ext(name) == "png" {
		format = "png"
		extra, after = pngParts(raw)
	}
	if after {
		c.add("I4", -1, -1, "after", "Something is hidden before, inside or after the picture.")
		c.next("Save the picture again with a drawing program.")
	}
	img, err := decode(raw, format)
	if err != nil {
		c.add("I4", -1, -1, "decode", "The picture cannot be read: %s.", err)
		return nil
	}
	b := img.Bounds()
	res.Rows, res.Cols = b.Dy(), b.Dx()
	c.add("I4i", -1, -1, "", "The picture is written again from its pixels before review; %s.", extra)
	return nil
}

func decode(raw []byte, format string) (image.Image, error) {
	cfg, kind, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil || kind != map[string]string{"png": "png", "jpg": "jpeg"}[format] {
		return nil, errPicture
	}
	if cfg.Width > maxSide || cfg.Height > maxSide || cfg.Width*cfg.Height > maxPixels {
		return nil, fmt.Errorf("it is %d by %d pixels and at most %d by %d are allowed", cfg.Width, cfg.Height, maxSide, maxSide)
	}
	img, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, errPicture
	}
	return img, nil
}

// pngParts walks the chunks. extra says what a rewrite drops; bad reports
// broken chunks or bytes after the end.
func pngParts(b []byte) (extra string, bad bool) {
	extra = "it carried no other data"
	const head = 8
	for i := head; i+12 <= len(b); {
		n := int(binary.BigEndian.Uint32(b[i:]))
		if n < 0 || n > len(b)-i-12 {
			return extra, true
		}
		kind := string(b[i+4 : i+8])
		if crc32.ChecksumIEEE(b[i+4:i+8+n]) != binary.BigEndian.Uint32(b[i+8+n:]) {
			return extra, true
		}
		switch kind {
		case "IHDR", "PLTE", "IDAT", "tRNS", "gAMA", "cHRM", "sRGB", "pHYs", "sBIT", "bKGD":
		case "IEND":
			return extra, i+12+n != len(b)
		default:
			extra = "descriptions inside it are dropped"
			bad = bad || second(b[i+8:i+8+n])
		}
		if bad {
			return extra, true
		}
		i += 12 + n
	}
	return extra, true
}

// jpegParts walks the segments up to the picture data and finds its end.
func jpegParts(b []byte) (extra string, bad bool) {
	extra = "it carried no other data"
	for i := 2; i+4 <= len(b); {
		if b[i] != 0xff {
			return extra, true
		}
		kind := b[i+1]
		if kind == 0xff {
			i++
			continue
		}
		n := int(binary.BigEndian.Uint16(b[i+2:]))
		if n < 2 || i+2+n > len(b) {
			return extra, true
		}
		if kind >= 0xe0 && kind <= 0xef || kind == 0xfe {
			if kind != 0xe0 {
				extra = "descriptions inside it are dropped"
			}
			if second(b[i+4 : i+2+n]) {
				return extra, true
			}
		}
		i += 2 + n
		if kind == 0xda {
			end := bytes.LastIndex(b[i:], []byte{0xff, 0xd9})
			first := endOfScan(b, i)
			return extra, end < 0 || first != len(b)
		}
	}
	return extra, true
}

// endOfScan returns the offset just after the first end-of-image marker that
// is not part of entropy-coded data; progressive pictures have several scans.
func endOfScan(b []byte, i int) int {
	for ; i+1 < len(b); i++ {
		if b[i] != 0xff {
			continue
		}
		switch m := b[i+1]; {
		case m == 0xd9:
			return i + 2
		case m == 0x00 || m == 0xff || m >= 0xd0 && m <= 0xd7:
		default:
			if i+4 > len(b) {
				return -1
			}
			i += 1 + int(binary.BigEndian.Uint16(b[i+2:]))
		}
	}
	return -1
}

// second reports whether data next to the pixels starts or holds another format.
func second(b []byte) bool {
	for _, s := range signatures {
		if len(s.magic) >= 4 && bytes.Contains(b, []byte(s.magic)) {
			return true
		}
	}
	return false
}

// Clean writes a picture again from its pixels with the two lowest bits of
// each colour dropped, so that nothing but what a person sees is left. The
// same bytes always give the same result. It refuses what picture refuses.
func Clean(name string, r io.Reader, w io.Writer) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	format := "jpg"
	if ext(name) == "png" {
		format = "png"
	}
	img, err := decode(raw, format)
	if err != nil {
		return err
	}
	flat := quantise(img)
	if format == "png" {
		return png.Encode(w, flat)
	}
	return jpeg.Encode(w, flat, &jpeg.Options{Quality: 90})
}

func quantise(img image.Image) *image.NRGBA {
	b := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := 0; y < b.Dy(); y++ {
		for x := 0; x < b.Dx(); x++ {
			c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			if six(c.A) == 0 {
				c = color.NRGBA{} // invisible colours carry bits
			}
			i := out.PixOffset(x, y)
			out.Pix[i], out.Pix[i+1], out.Pix[i+2], out.Pix[i+3] = six(c.R), six(c.G), six(c.B), six(c.A)
		}
	}
	return out
}

// six keeps the six high bits and spreads them over the full range, so that
// black stays black and white stays white.
func six(v uint8) uint8 { return v>>2<<2 | v>>6 }

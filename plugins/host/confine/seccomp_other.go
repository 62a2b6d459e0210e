//go:build !amd64 && !arm64

package confine

const arch = 0

var oldCalls []uintptr

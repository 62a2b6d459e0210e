package confine

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_AARCH64

// oldCalls are those that have another name here.
var oldCalls = []uintptr{unix.SYS_FSTATAT}

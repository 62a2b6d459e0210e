package apptest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Sweep removes the containers and volumes that the appliances whose data folders
// lie in dir have left in the engine. A server that a test kills cannot do it, and
// nobody comes back for them. Appliances must have ended; another one's are not touched.
func Sweep(dir string) {
	folders, _ := filepath.Glob(filepath.Join(dir, "*", "run", "sandbox")) // none where the engine is the fake
	for _, f := range folders {
		sum := sha256.Sum256([]byte(f))
		ours := "label=tresor=" + hex.EncodeToString(sum[:8]) // how sandbox/podman tells its own from others
		if left := strings.Fields(engine("ps", "--all", "--quiet", "--filter", ours)); len(left) > 0 {
			engine(append([]string{"rm", "--force", "--time", "0"}, left...)...)
		}
		if left := strings.Fields(engine("volume", "ls", "--quiet", "--filter", ours)); len(left) > 0 {
			engine(append([]string{"volume", "rm", "--force"}, left...)...)
		}
	}
}

// engine runs Podman's command line as the account that owns the containers and
// answers what it printed: nothing when it failed, since a sweep is no test.
func engine(args ...string) string {
	cmd := exec.Command("podman", args...)
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		account, err := user.Lookup("tresor-sandbox")
		if err != nil {
			return ""
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		run := filepath.Join("/run/user", account.Uid)
		if _, err := os.Stat(run); err != nil {
			run = "/run/tresor-sandbox"
		}
		cmd.Env = []string{"HOME=" + account.HomeDir, "XDG_RUNTIME_DIR=" + run, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}

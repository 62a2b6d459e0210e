// Package podman runs sandboxes with rootless Podman.
//
// It owns everything that makes a container a sandbox: the create body, which has no
// field that could loosen it, the system call filter, the check of what this host can
// enforce, and the service that runs under an account of its own and is started again
// when it ends or hangs; containers do not notice. It keeps one folder
// per container under RunDir: the Spec as it was prepared, the agent's socket and
// configuration, and the agent's last word. With these a new process finds running
// containers again; a crash at any point leaves at most a folder or a container that
// the next Prepare or Remove of the same Ref completes.
//
// An input inside a scratch volume leaves an empty file or folder at its place in the
// volume, made by a short container that goes before; Collect leaves it out. A program's
// connections to http://tes.local reach Options.Inside and nothing else.
//
// What Podman cannot say of one container hides no other: List leaves it out. A
// container that runs without its agent for long is killed, and what it left is collected.
//
// It never runs Podman as root, never opens a path that a container can write, never
// copies files through Podman, and talks to no registry.
package podman

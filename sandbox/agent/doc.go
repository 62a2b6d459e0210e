// Package agent is the first process of every sandbox, and the host end of its link.
//
// Inside, Main lays out the files of the task (folders, copies of inputs, the files of the
// standard streams), starts the researcher's command, keeps its log within a cap, dials
// the socket that the host shows it, and answers over it: state, log, use, outputs,
// stop. It also passes connections to http://tes.local on to the host, each as a stream
// of its own, while the command runs. Outside, Link listens on that socket and asks the questions.
//
// Where the Spec names a folder as its Project, the agent keeps it in step with the
// project's files behind that service (see Project): it asks as the command could, and has
// no authority of its own. An agent that dies has sent what it had sent by then, no more.
//
// The volumes may hold what a hostile earlier task left. Nothing in them is reached by way
// of a link or another mount, an existing file is never opened for writing, and nothing
// outside them is written; a file that cannot be placed so ends the task with
// sandbox.ExitUnplaced before its command runs.
//
// The inside is the researcher's word, never proof: how a container ended is asked
// of the engine, and the host end checks every name, count and size again. The host
// never opens a path that a container can write, and bounds the number, pace, silence and
// size of the streams that a container opens. A crash of the host loses nothing:
// the agent keeps log and outputs and dials until somebody answers. A crash of the
// agent ends the container; Main in collect mode then fetches what is left.
package agent

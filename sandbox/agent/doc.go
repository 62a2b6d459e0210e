// Package agent is the first process of every sandbox, and the host end of its link.
//
// Inside, Main starts the researcher's command, keeps its log within a cap, dials
// the socket that the host shows it, and answers over it: state, log, use, outputs,
// stop. Outside, Hub listens on that socket and Link asks the questions.
//
// The inside is the researcher's word, never proof: how a container ended is asked
// of the engine, and the host end checks every name, count and size again. The host
// never opens a path that a container can write. A crash of the host loses nothing:
// the agent keeps log and outputs and dials until somebody answers. A crash of the
// agent ends the container; Main in collect mode then fetches what is left.
package agent

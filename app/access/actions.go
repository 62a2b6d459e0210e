package access

// Action is one verb of the appliance as `noun.verb`. Every route of the API and
// every exported write of a domain package names exactly one.
type Action string

// Doors that need no session.
const (
	HealthRead   Action = "health.read"   // GET /healthz
	DocumentRead Action = "document.read" // the API description, the page shell, the sign-in page
	SessionOpen  Action = "session.open"  // sign in with a password or a one-time link
)

// A person's own session and what belongs to everybody who is signed in.
const (
	SessionRead     Action = "session.read"
	SessionEnd      Action = "session.end"
	SessionStepUp   Action = "session.step-up"
	SessionPassword Action = "session.password"
	SessionTOTP     Action = "session.totp" // begin and confirm the second factor
	HomeRead        Action = "home.read"
	SearchRead      Action = "search.read" // hits are filtered thing by thing
	LiveRead        Action = "live.read"   // opens the web socket; each topic is asked for again
)

// Projects and who works in them.
const (
	ProjectRead   Action = "project.read"
	ProjectCreate Action = "project.create"
	ProjectChange Action = "project.change" // name, purpose, end date, open or closed
	ProjectPolicy Action = "project.policy" // approval mode, threshold, number of reviewers
	ProjectMember Action = "project.member" // add, change or drop a member
	ProjectGrant  Action = "project.grant"  // give or take a dataset
)

// Data that may be worked on.
const (
	DatasetRead     Action = "dataset.read"     // catalogue entry: names, sizes, columns, descriptions
	DatasetValues   Action = "dataset.values"   // what derives from values: minimum, maximum, distinct counts
	DatasetRegister Action = "dataset.register" // make or change a catalogue entry
	DatasetIngest   Action = "dataset.ingest"   // add a version
)

// Images that jobs may run.
const (
	ImageRead    Action = "image.read"
	ImageImport  Action = "image.import"
	ImageApprove Action = "image.approve"
	ImageRevoke  Action = "image.revoke"
)

// Work.
const (
	JobSubmit     Action = "job.submit"
	JobRead       Action = "job.read" // the record: state, code, limits, names; never bytes
	JobLog        Action = "job.log"
	JobCancel     Action = "job.cancel"
	JobDecide     Action = "job.decide" // approve or refuse a job that waits for it
	OutputPreview Action = "output.preview"
)

// The way out.
const (
	AirlockCreate   Action = "airlock.create"
	AirlockRead     Action = "airlock.read" // the request, its findings, comments and votes
	AirlockEdit     Action = "airlock.edit"
	AirlockSubmit   Action = "airlock.submit"
	AirlockWithdraw Action = "airlock.withdraw"
	AirlockReview   Action = "airlock.review" // vote
	AirlockComment  Action = "airlock.comment"
	AirlockView     Action = "airlock.view" // the bytes under review
	ReleaseMake     Action = "release.make"
	ReleaseRead     Action = "release.read" // what was released, when, by whom
	ReleaseOpen     Action = "release.open" // the released bytes
)

// People, evidence and the host.
const (
	PersonRead      Action = "person.read"
	PersonManage    Action = "person.manage" // create, rename, give roles, disable, issue links
	AuditRead       Action = "audit.read"
	AuditCheckpoint Action = "audit.checkpoint" // the signed size and root; says nothing about events
	AuditProof      Action = "audit.proof"
	AuditVerify     Action = "audit.verify"
	AuditExport     Action = "audit.export"
	SystemRead      Action = "system.read"
)

// Work that comes from outside. Two people open a door: an operator makes the
// principal, and a lead lends it the project.
const (
	FederationRead   Action = "federation.read"   // principals, their links and what they may do; a lead sees those that use a project of theirs
	FederationManage Action = "federation.manage" // principals, quotas, tokens, enrolment, confirming and revoking keys, rotation, sources
	FederationPause  Action = "federation.pause"  // the brake; no step-up, because it has to work at once (resuming asks for one)
	FederationTest   Action = "federation.test"   // look whether a hub can be reached: changes nothing
	FederationUse    Action = "federation.use"    // lend a project to a principal, or take it back: sponsor and datasets
	FederationLedger Action = "federation.ledger" // what arrived and what left; a lead reads the lines of their project
	PluginRead       Action = "plugin.read"
	PluginManage     Action = "plugin.manage" // settings, enable, disable, test
	PluginTrust      Action = "plugin.trust"  // take a program file into the appliance, or forget it
	TokenMake        Action = "token.make"    // a token of one's own for programs, bound to one project
	TokenRead        Action = "token.read"    // that it exists and when it was last used; the token itself is shown once
	TokenRevoke      Action = "token.revoke"
	TreeRead         Action = "tree.read"  // files that a project keeps inside
	TreeErase        Action = "tree.erase" // take a file or folder out of it
)

// The other end of the link: this server is a hub and holds no data.
const (
	HubRead    Action = "hub.read"    // nodes, projects and the catalogue that nodes publish
	HubManage  Action = "hub.manage"  // enrol and revoke nodes, make projects, say who works in them
	HubTasks   Action = "hub.tasks"   // states and messages of a project's tasks at its nodes
	HubCancel  Action = "hub.cancel"  // ask the nodes to stop a task
	HubResults Action = "hub.results" // what the nodes have released
	HubErase   Action = "hub.erase"   // delete the hub's copy of what the nodes have released
	HubToken   Action = "hub.token"   // a token of one's own for the hub's task service
)

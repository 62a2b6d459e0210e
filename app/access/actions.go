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

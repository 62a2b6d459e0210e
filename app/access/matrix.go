package access

// rule says who may do one action. The roles are alternatives; the bars are
// separation of duties and refuse whatever the roles allow.
type rule struct {
	public bool   // no session needed
	signed bool   // any signed-in person
	site   []Role // any of these site roles
	member []Role // any of these roles in the thing's project
	owner  bool   // the thing's owner, while still a member of its project
	leads  bool   // whoever leads some project
	bars   []bar
	fresh  bool   // needs a recent proof of presence (step-up)
	says   string // for people: who may do it
}

var (
	everyMember = []Role{Researcher, Lead}
	leadOnly    = []Role{Lead}
)

// matrix is the whole policy. An action that is not in it is denied.
var matrix = map[Action]rule{
	HealthRead:   {public: true, says: "Anyone may ask whether the server is healthy."},
	DocumentRead: {public: true, says: "Anyone may read the pages that need no session."},
	SessionOpen:  {public: true, says: "Anyone may sign in."},

	SessionRead:     {signed: true, says: "Sign in first."},
	SessionEnd:      {signed: true, says: "Sign in first."},
	SessionStepUp:   {signed: true, says: "Sign in first."},
	SessionPassword: {signed: true, says: "Sign in first."},
	SessionTOTP:     {signed: true, says: "Sign in first."},
	HomeRead:        {signed: true, says: "Sign in first."},
	SearchRead:      {signed: true, says: "Sign in first."},
	LiveRead:        {signed: true, says: "Sign in first."},

	ProjectRead: {site: []Role{Operator, Steward, Checker, Auditor}, member: everyMember,
		says: "Only members of a project and the people who run, steward, check or audit this site see it."},
	ProjectCreate: {site: []Role{Operator}, says: "Only an operator creates projects."},
	ProjectChange: {site: []Role{Operator}, says: "Only an operator changes, closes or reopens a project."},
	ProjectPolicy: {site: []Role{Steward}, fresh: true,
		says: "Only a data steward changes how a project's jobs are approved and its outputs are checked."},
	ProjectMember: {site: []Role{Operator}, member: leadOnly, bars: []bar{notSelf, leadsAreAppointed}, fresh: true,
		says: "Only an operator, or the lead of the project for its researchers, changes who is a member."},
	ProjectGrant: {site: []Role{Steward}, fresh: true, says: "Only a data steward grants datasets to a project."},

	DatasetRead: {site: []Role{Operator, Steward, Checker, Auditor}, member: everyMember,
		says: "Only members of a project that this dataset is granted to, and the people who steward, check, audit or run this site, see it."},
	DatasetValues: {site: []Role{Steward, Checker}, member: everyMember, bars: []bar{noData},
		says: "Only data stewards, output checkers and members of a project that this dataset is granted to see figures taken from its values."},
	DatasetRegister: {site: []Role{Steward}, says: "Only a data steward registers datasets."},
	DatasetIngest:   {site: []Role{Steward}, fresh: true, says: "Only a data steward adds versions to a dataset."},

	ImageRead:    {signed: true, says: "Sign in first."},
	ImageImport:  {site: []Role{Operator}, says: "Only an operator imports images."},
	ImageApprove: {site: []Role{Operator}, fresh: true, says: "Only an operator approves images."},
	ImageRevoke:  {site: []Role{Operator}, fresh: true, says: "Only an operator revokes images."},

	JobSubmit: {member: everyMember, bars: []bar{noData}, says: "Only members of this project submit jobs in it."},
	JobRead: {site: []Role{Operator, Steward, Checker, Auditor}, member: everyMember,
		says: "Only members of its project and the people who run, steward, check or audit this site see a job."},
	JobLog: {member: everyMember, bars: []bar{noData}, says: "Only members of its project read a job's log."},
	JobCancel: {site: []Role{Operator}, member: leadOnly, owner: true,
		says: "Only the person who submitted the job, the lead of its project or an operator cancels it."},
	JobDecide: {site: []Role{Steward}, member: leadOnly, bars: []bar{notOwner},
		says: "Only the lead of the project or a data steward, and never the person who submitted it, approves or refuses a job."},
	OutputPreview: {member: everyMember, bars: []bar{noData}, says: "Only members of its project look at outputs that are still inside."},

	AirlockCreate: {member: everyMember, bars: []bar{noData}, says: "Only members of the job's project ask for the release of its outputs."},
	AirlockRead: {site: []Role{Steward, Checker, Auditor}, member: everyMember,
		says: "Only members of its project, output checkers, data stewards and auditors see an airlock request."},
	AirlockEdit:   {owner: true, says: "Only the person who made the request changes it."},
	AirlockSubmit: {owner: true, says: "Only the person who made the request submits it."},
	AirlockWithdraw: {owner: true, member: leadOnly,
		says: "Only the person who made the request, or the lead of its project, withdraws it."},
	AirlockReview: {site: []Role{Checker}, bars: []bar{noData, notInvolved, notMember, personOnly}, fresh: true,
		says: "Only an output checker who is not a member of the project reviews a request."},
	AirlockComment: {site: []Role{Checker}, member: everyMember, bars: []bar{noData},
		says: "Only members of its project and output checkers comment on a request."},
	AirlockView: {site: []Role{Checker}, member: everyMember, bars: []bar{noData},
		says: "Only output checkers and members of its project look at the files of a request."},
	ReleaseMake: {site: []Role{Checker}, member: everyMember, bars: []bar{noData}, fresh: true,
		says: "Only members of its project and output checkers release an approved request."},
	ReleaseRead: {site: []Role{Steward, Checker, Auditor}, member: everyMember,
		says: "Only members of its project, output checkers, data stewards and auditors see a release."},
	ReleaseOpen: {site: []Role{Steward}, member: everyMember, bars: []bar{noData},
		says: "Only members of its project and data stewards download a release."},

	PersonRead: {site: []Role{Operator, Steward, Auditor}, leads: true,
		says: "Only operators, data stewards, auditors and project leads see the list of people."},
	PersonManage: {site: []Role{Operator}, bars: []bar{notSelf}, fresh: true,
		says: "Only an operator manages people."},

	AuditRead:       {site: []Role{Auditor, Operator}, says: "Only auditors and operators read the audit log."},
	AuditCheckpoint: {signed: true, says: "Sign in first."},
	AuditProof:      {site: []Role{Auditor, Operator}, says: "Only auditors and operators ask for proofs from the audit log."},
	AuditVerify:     {site: []Role{Auditor, Operator}, says: "Only auditors and operators verify the audit log."},
	AuditExport:     {site: []Role{Auditor, Operator}, fresh: true, says: "Only auditors and operators export the audit log."},
	SystemRead:      {site: []Role{Operator, Auditor}, says: "Only operators and auditors see the state of the server."},

	FederationRead: {site: []Role{Operator, Auditor}, member: leadOnly,
		says: "Only operators and auditors, and the lead of a project that it uses, see a hub or an outside client."},
	FederationManage: {site: []Role{Operator}, fresh: true, says: "Only an operator manages hubs and outside clients."},
	FederationPause:  {site: []Role{Operator}, says: "Only an operator pauses hubs and outside clients. A project lead can take the project back instead."},
	FederationTest:   {site: []Role{Operator}, says: "Only an operator tests the connection to a hub."},
	FederationUse: {member: leadOnly, bars: []bar{noData}, fresh: true,
		says: "Only the lead of a project lends it to a hub or an outside client, or takes it back."},
	FederationLedger: {site: []Role{Operator, Auditor}, member: leadOnly,
		says: "Only operators and auditors, and the lead of the project for its lines, read what arrived and what left."},
	PluginRead:   {site: []Role{Operator, Auditor}, says: "Only operators and auditors see the plugins."},
	PluginManage: {site: []Role{Operator}, fresh: true, says: "Only an operator manages plugins."},
	PluginTrust:  {site: []Role{Operator}, fresh: true, says: "Only an operator on the server itself trusts a plugin file."},
	TokenMake: {member: everyMember, bars: []bar{noData}, fresh: true,
		says: "Only members of a project make a token for it."},
	TokenRead:   {signed: true, bars: []bar{ownToken}, says: "Sign in first."},
	TokenRevoke: {signed: true, bars: []bar{ownToken}, says: "Sign in first."},
	TreeRead:    {member: everyMember, bars: []bar{noData}, says: "Only members of the project see the files that it keeps inside."},
	TreeErase:   {member: leadOnly, bars: []bar{noData}, says: "Only the lead of the project erases files that it keeps inside."},

	HubRead:   {signed: true, says: "Sign in first."},
	HubManage: {site: []Role{Operator}, fresh: true, says: "Only an operator manages the nodes and projects of a hub."},
	HubTasks: {site: []Role{Operator, Auditor}, member: everyMember,
		says: "Only members of its project, operators and auditors see a task."},
	HubCancel: {site: []Role{Operator}, member: leadOnly, owner: true,
		says: "Only the person who sent the task, the lead of its project or an operator cancels it."},
	HubResults: {member: everyMember, bars: []bar{noData}, says: "Only members of its project download the results of a task."},
	HubErase: {site: []Role{Operator}, owner: true,
		says: "Only the person who sent the task or an operator deletes its results."},
	HubToken: {member: everyMember, bars: []bar{noData}, fresh: true, says: "Only members of a project make a token for it."},
}

// The JSON of /api/v1 as the pages use it. Optional marks what an older or
// smaller answer may leave out.
export interface Person { id: string; handle: string; name: string; roles?: string[]; projects?: Record<string, string>; actions?: string[]; disabled?: boolean; created_at?: string; last_seen_at?: string; totp?: boolean }
export interface Server { name: string; version: string; kind?: string; demo?: boolean; unlimited?: boolean }
export interface Session { person: Person; expires_at: string; must_enrol?: boolean; need_password?: boolean; need_totp?: boolean; totp?: boolean; demo?: boolean; server: Server }
export interface Turn { kind: string; title: string; project?: string; project_id?: string; href: string; waiting_since: string; action: string }
export interface Home { turn?: Turn[]; running?: Job[]; recent?: { at: string; text: string; href?: string }[] }
export interface Page<T> { items: T[]; next?: string }
export interface Hit { kind: string; title: string; href: string; sub?: string }

export interface Member { person_id: string; handle: string; name: string; role: string }
export interface Grant { dataset_id: string; slug: string; name: string; version: number; granted_by?: string; granted_at?: string }
export interface Project { id: string; slug: string; name: string; purpose?: string; state: string; ends_at?: string; approval?: string; threshold?: number; reviewers?: number; created_at: string; members?: Member[]; datasets?: Grant[] }

export interface Column { name: string; type: string; label?: string; description?: string; unit?: string; role?: string; nulls?: number; distinct?: number; min?: string; max?: string }
export interface Table { name: string; label?: string; file: string; rows: number; columns: Column[] }
export interface DataFile { name: string; sha256: string; size: number }
export interface Version { dataset_id: string; n: number; sha256: string; files?: DataFile[]; tables?: Table[]; rows: number; bytes: number; created_at: string; created_by?: string; note?: string }
export interface Dataset { id: string; slug: string; name: string; description?: string; controller?: string; licence?: string; source?: string; state?: string; created_at: string; latest: number; versions?: Version[] }

export interface Image { id: string; digest: string; ref: string; source: string; size: number; imported_at: string; imported_by?: string; approved_at?: string; approved_by?: string; reason?: string; state: string; arch?: string }

export interface Who { id: string; handle: string; name: string }
export interface Step { state: string; at: string; actor?: string; detail?: string }
export interface Output { id: string; job_id?: string; path: string; sha256: string; size: number; kind: string; rows?: number; cols?: number; state: string }
export interface Limits { memory?: number; cores?: number; pids?: number; file_size?: number; log_size?: number; wall?: number; output_files?: number; output_bytes?: number }
export interface TaskRun { n: number; image?: string; image_ref?: string; argv?: string[]; env?: string[]; workdir?: string; stdin?: string; stdout?: string; stderr?: string; ignore_error?: boolean; state: string; exit_code?: number | null; attempt?: number; started_at?: string; finished_at?: string }
export interface Query { output: string; sql: string }
export interface Job {
  id: string; project: string; project_name?: string; name: string; purpose?: string; state: string; reason?: string; next?: string
  submitter: Who; created_at: string; started_at?: string; finished_at?: string; held_at?: string
  tasks?: TaskRun[]; queries?: Query[]; inputs?: { name: string; sha256: string; size: number }[]
  datasets?: { id: string; slug: string; version: number; sha256?: string }[]
  limits?: Limits; unlimited?: boolean; progress?: { phase?: string; done: number; total: number }; queue?: { position: number }
  timeline?: Step[]; outputs?: Output[]; airlock_request?: string
  via?: string; on_behalf?: string; waiting_image?: string; volumes?: string[]; inside?: boolean
}
export interface Usage { cpu?: number; memory?: number; pids?: number }

export interface Finding { rule: string; severity: 'block' | 'warn' | 'info'; message: string; next?: string; row: number; col: number; count?: number }
export interface Item { id: string; path: string; sha256: string; size: number; kind: string; rows?: number; cols?: number; findings?: Finding[]; seen?: boolean }
export interface Review { id: string; reviewer?: Who; decision?: string; comment?: string; at?: string; hidden?: boolean }
export interface Comment { id: string; by: Who; at: string; text: string; item?: string }
export interface Request {
  id: string; project: string; project_name?: string; job: string; job_name?: string; title: string; direction?: string; state: string
  context?: string; population?: string; controls?: string; exception?: string; requester: Who
  created_at: string; submitted_at?: string; decided_at?: string
  items?: Item[]; turn?: { who: string; next: string }; reviews?: Review[]; reviews_needed?: number; reviews_done?: number
  comments?: Comment[]; timeline?: Step[]; release?: string; checks?: { version?: string; rules_sha256?: string; blocks: number; warnings: number }
}
export interface View { kind: 'table' | 'text' | 'image' | 'none'; columns?: string[]; rows?: string[][]; total?: number; text?: string; findings?: Finding[]; image?: string; reason?: string; data?: string; media_type?: string }
export interface Release { id: string; request: string; project: string; project_name?: string; job: string; title: string; sha256: string; size: number; files?: { path?: string; name?: string; sha256: string; size: number }[]; made_at: string; made_by?: Who | string; opened?: number }

export interface AuditEvent { seq: number; at: string; actor: string; actor_name?: string; via?: string; verb: string; subject: string; project?: string; detail?: Record<string, string>; reason?: string }
export interface Checkpoint { size: number; root: string; note?: string }
export interface Check { name: string; state: string; detail?: string; next?: string }
export interface System {
  name?: string; version?: string; started_at?: string; listen?: string; tls?: { mode?: string; expires_at?: string; domain?: string }
  podman?: Record<string, unknown>; disk?: { free?: number; total?: number; path?: string }; queue?: { queued?: number; running?: number; cores?: number; memory?: number }
  audit?: { size?: number; root?: string }; failed_sign_ins?: number | { last_day?: number }; checks?: Check[]
}
export interface Problem { type?: string; title?: string; status: number; detail?: string; code?: string; next?: string; correlation?: string }

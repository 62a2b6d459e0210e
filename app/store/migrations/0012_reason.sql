-- owner: app/audit
-- What a person wrote as the reason of an event. The event holds the text's SHA-256
-- and never the text, so the log stays free of it; verifying compares the two.
CREATE TABLE audit_reason (
	seq  INTEGER PRIMARY KEY REFERENCES audit_leaf (seq),
	text TEXT NOT NULL CHECK (text <> '')
) STRICT;

CREATE TRIGGER audit_reason_fixed BEFORE UPDATE ON audit_reason
BEGIN SELECT RAISE(ABORT, 'reasons in the audit log cannot be changed'); END;
CREATE TRIGGER audit_reason_kept BEFORE DELETE ON audit_reason
BEGIN SELECT RAISE(ABORT, 'reasons in the audit log cannot be removed'); END;

-- Sources that want a credential.

-- owner: app/gateway
-- Sealed with a key file outside the database, for this source at this address only.
ALTER TABLE gateway_source ADD COLUMN credential BLOB;              -- NULL: none
ALTER TABLE gateway_source ADD COLUMN credential_at INTEGER CHECK ((credential_at IS NULL) = (credential IS NULL));

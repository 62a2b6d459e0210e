-- Sources in the operator's own network.

-- owner: app/gateway
ALTER TABLE gateway_source ADD COLUMN private INTEGER NOT NULL DEFAULT 0 CHECK (private IN (0, 1)); -- its host may have a private address

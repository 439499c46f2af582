-- Accounts that people link for a server: what the server is shown in their name. Portable like 0001.

-- One account of one person behind one server. `generation` grows with each new token; `lease` names the process that is
-- asking the vendor for the next one.
CREATE TABLE linked_accounts (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    server TEXT NOT NULL,
    issuer TEXT NOT NULL,
    account TEXT,
    scopes TEXT,
    secret BYTEA NOT NULL,
    token_expires_at BIGINT,
    generation BIGINT NOT NULL,
    ended_reason TEXT,
    lease TEXT,
    lease_ends_at BIGINT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (user_id, server)
);

-- Links that are not made yet: browsers that were sent to a vendor (step 0), and accounts that wait for the person's yes
-- (step 1). Each row is taken once.
CREATE TABLE link_flows (
    digest TEXT NOT NULL PRIMARY KEY,
    step BIGINT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    server TEXT NOT NULL,
    browser TEXT NOT NULL,
    session TEXT NOT NULL,
    kept BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX link_flows_by_end ON link_flows (expires_at);

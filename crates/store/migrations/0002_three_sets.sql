-- Tasks, approvals, requests for access, and loans. Portable like 0001.

-- Every row is about one grant, and no grant is ever deleted.
CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    -- The task that it is inside of: a call has to be inside both.
    parent TEXT REFERENCES tasks (id),
    server TEXT NOT NULL,
    definition TEXT NOT NULL,
    origin TEXT NOT NULL,
    -- Both or neither: a budget, and what it was in all.
    calls_left BIGINT,
    calls_total BIGINT,
    created_at BIGINT NOT NULL,
    ends_at BIGINT,
    ended_at BIGINT,
    ended_because TEXT,
    CHECK ((calls_left IS NULL) = (calls_total IS NULL)),
    CHECK (calls_left BETWEEN 0 AND calls_total)
);
CREATE INDEX tasks_by_grant ON tasks (grant_id);
CREATE INDEX tasks_by_parent ON tasks (parent);
CREATE INDEX tasks_running ON tasks (grant_id) WHERE ended_at IS NULL;
CREATE INDEX tasks_by_end ON tasks (COALESCE(ended_at, ends_at));
-- A derived grant may be held to the task of the grant above it.
CREATE INDEX grants_by_task ON grants (task);

CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments BYTEA,
    task TEXT,
    rule TEXT NOT NULL,
    reason TEXT,
    request TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    approved BIGINT,
    used_at BIGINT,
    -- When it was used, declined, or found expired. An index cannot compare with the present.
    closed_at BIGINT
);
-- Of two who ask for the same call at the same moment, both get one approval.
CREATE UNIQUE INDEX approvals_open ON approvals (grant_id, digest) WHERE closed_at IS NULL;
CREATE INDEX approvals_by_call ON approvals (grant_id, digest);
CREATE INDEX approvals_by_subject ON approvals (subject);
CREATE INDEX approvals_by_end ON approvals (expires_at);

CREATE TABLE access_requests (
    id TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    task TEXT,
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    bounds TEXT,
    reason TEXT NOT NULL CHECK (length(reason) <= 500),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    loan TEXT,
    -- When it was decided or found expired.
    closed_at BIGINT,
    -- When a node took it upon itself to announce it.
    announced_at BIGINT
);
CREATE UNIQUE INDEX access_requests_open ON access_requests (grant_id, server, tool, COALESCE(task, ''))
    WHERE closed_at IS NULL;
CREATE INDEX access_requests_by_subject ON access_requests (subject);
CREATE INDEX access_requests_by_end ON access_requests (expires_at);

CREATE TABLE loans (
    id TEXT NOT NULL PRIMARY KEY,
    request TEXT,
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    task TEXT,
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    bounds TEXT,
    granted_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX loans_by_grant ON loans (grant_id);
CREATE INDEX loans_by_task ON loans (task);
CREATE INDEX loans_by_subject ON loans (subject);
CREATE INDEX loans_by_end ON loans (expires_at);

-- The task that a client declares (RFC 9396), until a person answers.
ALTER TABLE pendings ADD COLUMN task TEXT;
-- What the person set beside the scopes: an end, a task.
ALTER TABLE codes ADD COLUMN conditions TEXT;

-- Calls that were paid for and whose upstream asked something back: the answer comes as another request, once.
CREATE TABLE rounds (
    digest TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    expires_at BIGINT NOT NULL
);
CREATE INDEX rounds_by_end ON rounds (expires_at);

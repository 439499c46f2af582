-- One text for SQLite and PostgreSQL: BIGINT for milliseconds since 1970, for counts and for 0 or 1; TEXT for
-- identifiers, digests (hexadecimal) and JSON; BYTEA for sealed values (SQLite keeps bytes under any type name).

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Numbers allotted in the order of commits: whoever takes one keeps the row locked until the commit.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('chains', 0), ('changes', 0);

CREATE TABLE changes (
    seq BIGINT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    password TEXT,
    password_set_at BIGINT,
    role TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    epoch BIGINT NOT NULL
);

CREATE TABLE setup_links (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX setup_links_by_user ON setup_links (user_id);
CREATE INDEX setup_links_by_end ON setup_links (expires_at);

CREATE TABLE browser_sessions (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    csrf BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL
);
CREATE INDEX browser_sessions_by_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_by_end ON browser_sessions (expires_at);

CREATE TABLE throttle (
    digest TEXT NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    failed_at BIGINT NOT NULL
);
CREATE INDEX throttle_by_time ON throttle (failed_at);

CREATE TABLE clients (
    id TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL,
    definition TEXT NOT NULL,
    secret TEXT,
    disabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT
);
CREATE INDEX clients_by_origin ON clients (origin);
CREATE INDEX clients_by_end ON clients (expires_at);

CREATE TABLE assertions (
    digest TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX assertions_by_end ON assertions (expires_at);

CREATE TABLE servers (
    name TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    first_consent_at BIGINT
);

CREATE TABLE tools (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    summary TEXT NOT NULL,
    proposed TEXT NOT NULL,
    class TEXT,
    classified_at BIGINT,
    -- What the server promises now, and its digest; and both as they were accepted.
    definition TEXT NOT NULL,
    seen TEXT NOT NULL,
    accepted_definition TEXT,
    accepted TEXT,
    accepted_at BIGINT,
    seen_at BIGINT NOT NULL,
    missing_since BIGINT,
    PRIMARY KEY (server, name)
);

-- Servers whose first tools were seen, and so accepted.
CREATE TABLE catalogues (
    server TEXT NOT NULL PRIMARY KEY,
    first_listed_at BIGINT NOT NULL
);

CREATE TABLE credentials (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    secret BYTEA NOT NULL,
    PRIMARY KEY (server, name)
);

CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    private BYTEA NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    retires_at BIGINT,
    removed_at BIGINT
);

CREATE TABLE pendings (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    state TEXT,
    challenge TEXT NOT NULL,
    resource TEXT NOT NULL,
    server TEXT NOT NULL,
    scopes TEXT NOT NULL,
    prompt_flags TEXT NOT NULL,
    browser TEXT,
    user_id TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    answered_at BIGINT
);
CREATE INDEX pendings_by_end ON pendings (expires_at);

-- Clients known by their metadata document need no row in clients, so client_id is no reference.
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    server TEXT NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL,
    path TEXT NOT NULL,
    parent TEXT REFERENCES grants (id),
    task TEXT,
    epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    revoked_because TEXT,
    last_used_at BIGINT
);
CREATE INDEX grants_by_subject ON grants (subject);
CREATE INDEX grants_by_client ON grants (client_id);
CREATE INDEX grants_by_parent ON grants (parent);

CREATE TABLE consents (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    server TEXT NOT NULL,
    given_at BIGINT NOT NULL
);
CREATE INDEX consents_by_user ON consents (user_id);
CREATE INDEX consents_by_client ON consents (client_id);

CREATE TABLE codes (
    digest TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    subject TEXT NOT NULL,
    server TEXT NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL,
    path TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    grant_id TEXT,
    failures BIGINT NOT NULL
);
CREATE INDEX codes_by_time ON codes (issued_at);
CREATE INDEX codes_by_subject ON codes (subject);
CREATE INDEX codes_by_client ON codes (client_id);

CREATE TABLE refresh_families (
    grant_id TEXT NOT NULL PRIMARY KEY REFERENCES grants (id),
    family_key BYTEA NOT NULL
);

CREATE TABLE refresh_tokens (
    digest TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES refresh_families (grant_id),
    generation BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    successor TEXT,
    -- One line of descent per family: two successors of one token cannot both exist.
    UNIQUE (grant_id, generation)
);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

-- The end of each node's chain, and the number of the chain, which is never another's.
CREATE TABLE audit_heads (
    node TEXT NOT NULL PRIMARY KEY,
    chain BIGINT NOT NULL UNIQUE,
    seq BIGINT NOT NULL,
    mac TEXT NOT NULL
);

-- Records that were written together, one a line, compressed (LZ4 block, its length before it). `place` is the number of
-- the chain times 2^40, and the place in it of the last of them: rows are appended in order, by one key. `began` is when
-- their exchanges began, in units of 1,024 milliseconds.
CREATE TABLE audit (
    place BIGINT NOT NULL PRIMARY KEY,
    began BIGINT NOT NULL,
    kept_at BIGINT NOT NULL,
    records BYTEA NOT NULL,
    mac TEXT NOT NULL
);
CREATE INDEX audit_by_beginning ON audit (began, place);

-- Where a chain begins whose oldest records were removed, sealed under the key of the chain.
CREATE TABLE audit_checkpoints (
    node TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    mac TEXT NOT NULL,
    sealed TEXT NOT NULL,
    pruned_at BIGINT NOT NULL
);

-- Arguments of calls, where a server's are kept: beside the chain, which holds their digests, so that they can go.
CREATE TABLE audit_arguments (
    request TEXT NOT NULL PRIMARY KEY,
    arguments BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX audit_arguments_by_end ON audit_arguments (expires_at);

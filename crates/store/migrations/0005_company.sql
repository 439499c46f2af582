-- People and groups of identity providers. Portable like 0001.

-- Who somebody is at a provider. The two texts name one person for good; neither is a name or an e-mail address.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- 1: the user was made for this identity, and has no password. 0: a local user who was linked to it.
    made_user BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    signed_in_at BIGINT,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id);

-- Groups as the claims of a sign-in named them, by the provider and as the policies call them.
CREATE TABLE user_groups (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (user_id, provider, name)
);

-- Browsers that are sent to a provider and have not come back: each comes back once.
CREATE TABLE sign_ins (
    digest TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    browser TEXT NOT NULL,
    pending TEXT,
    kept BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_by_end ON sign_ins (expires_at);

-- Sessions at a provider from which a browser session came.
CREATE TABLE provider_sessions (
    browser_session TEXT NOT NULL PRIMARY KEY REFERENCES browser_sessions (digest) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    sid TEXT,
    id_token BYTEA
);
CREATE INDEX provider_sessions_by_subject ON provider_sessions (issuer, subject);
CREATE INDEX provider_sessions_by_sid ON provider_sessions (issuer, sid);

CREATE TABLE scim_tokens (
    digest TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    UNIQUE (provider, label)
);

-- What a provisioning client says of a user, as JSON, and its version for ETags.
CREATE TABLE scim_users (
    provider TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    user_name_folded TEXT NOT NULL,
    external_id TEXT,
    attributes TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (provider, user_id),
    UNIQUE (provider, user_name_folded),
    UNIQUE (provider, external_id)
);

CREATE TABLE scim_groups (
    id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    display_name TEXT NOT NULL,
    -- As the policies call it.
    name TEXT NOT NULL,
    external_id TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (provider, name),
    UNIQUE (provider, external_id)
);

CREATE TABLE scim_members (
    group_id TEXT NOT NULL REFERENCES scim_groups (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX scim_members_by_user ON scim_members (user_id);

-- Accounts, consent, and what the restricted party fills. Portable like 0001.

-- Who changes which owners may sign in takes this number first, and so keeps its row locked until the commit: of two
-- owners who disable each other at the same moment, the second sees what the first did.
INSERT INTO counters (name, value) VALUES ('owners', 0);

-- The browser session (its digest) that a grant ends with, where the person did not let it outlast the session.
ALTER TABLE grants ADD COLUMN session TEXT;
CREATE INDEX grants_by_session ON grants (session) WHERE session IS NOT NULL;

-- Until when the next attempt has to wait.
ALTER TABLE throttle ADD COLUMN blocked_until BIGINT NOT NULL DEFAULT 0;

-- What a call sends beside its arguments, as canonical JSON, sealed; and how many characters of the arguments are not kept.
ALTER TABLE approvals ADD COLUMN beside BYTEA;
ALTER TABLE approvals ADD COLUMN arguments_left_out BIGINT NOT NULL DEFAULT 0;

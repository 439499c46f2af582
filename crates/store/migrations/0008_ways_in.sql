-- What a person is told of the browsers in which they are signed in: by what method, which browser, and when it was last used.
ALTER TABLE browser_sessions ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE browser_sessions ADD COLUMN browser TEXT NOT NULL DEFAULT '';
ALTER TABLE browser_sessions ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
UPDATE browser_sessions SET seen_at = created_at;

-- When a tool was first seen: what a server shows only later, and what it shows to its callers alone. Portable like 0001.
ALTER TABLE tools ADD COLUMN first_seen_at BIGINT;

-- Tools that some caller was shown and that are in no list of our own.
CREATE TABLE tools_of_callers (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (server, name)
);

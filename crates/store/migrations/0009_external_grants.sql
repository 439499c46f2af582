-- Grants that tokens of external authorization servers brought. Portable like 0001.

-- The issuer of the tokens, and who they are about there: the identity's subject. NULL for grants of our own issuer.
ALTER TABLE grants ADD COLUMN issuer TEXT;
ALTER TABLE grants ADD COLUMN issuer_subject TEXT;
-- When its user let the client in again after the grant had ended: the next token makes another grant.
ALTER TABLE grants ADD COLUMN released_at BIGINT;

-- One grant for each user, client and server, whether it lives or has ended: an ended one keeps its client out.
CREATE UNIQUE INDEX grants_of_issuers ON grants (subject, client_id, server)
    WHERE issuer IS NOT NULL AND released_at IS NULL;

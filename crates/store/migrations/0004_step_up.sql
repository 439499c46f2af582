-- Step-ups: what a client was told that its grant lacks, and until when a refresh by the grant is answered with that.
-- Portable like 0001.
ALTER TABLE grants ADD COLUMN step_up_scopes TEXT;
ALTER TABLE grants ADD COLUMN step_up_until BIGINT;

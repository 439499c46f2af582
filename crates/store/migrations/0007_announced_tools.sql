-- Which definition of a tool that is held back was announced, and when tools of a server were announced last. Portable like
-- 0001.
ALTER TABLE tools ADD COLUMN announced TEXT;
ALTER TABLE catalogues ADD COLUMN announced_at BIGINT;

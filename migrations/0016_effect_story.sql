-- The attempts of an effect that did not bring it about, the first one first: [{what, at, by, started, error}]. Null for what went well
-- at once, which is nearly everything, so that it costs nothing.
ALTER TABLE tidemark.effects ADD COLUMN past jsonb;

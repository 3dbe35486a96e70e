-- The answers of requests that bear an Idempotency-Key, written in the same transaction as the change, and replayed for 24 hours.
CREATE TABLE tidemark.idempotency_keys (
  key text COLLATE "C" PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 255),
  user_name text NOT NULL,
  -- SHA-256 of the request's method, path and body
  request bytea NOT NULL CHECK (octet_length(request) = 32),
  status smallint NOT NULL,
  headers jsonb NOT NULL,
  body text NOT NULL,
  created timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON tidemark.idempotency_keys (created);

GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark.idempotency_keys TO tidemark_app;

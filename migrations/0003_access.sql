-- Access tokens. The text of a token is shown once, when it is made; the table holds its SHA-256. 256 random bits need
-- no salt and no slow hash.
CREATE TABLE tidemark.tokens (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- the first letters of the token, by which people tell one from another
  prefix text COLLATE "C" NOT NULL,
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  user_name text NOT NULL CHECK (user_name <> ''),
  roles text[] NOT NULL DEFAULT '{}',
  created timestamptz NOT NULL DEFAULT now(),
  last_used timestamptz,
  expires timestamptz,
  revoked timestamptz
);

-- A token is revoked, never deleted: the journal's authors stay explicable. Whose it is and what it may do does not change.
GRANT SELECT, INSERT, UPDATE (last_used, revoked) ON tidemark.tokens TO tidemark_app;

-- A program that may not migrate still sees whether it has to wait for somebody who may.
GRANT SELECT ON tidemark.migration TO tidemark_app;

-- Mail: who wants it, and who has got which.

ALTER TABLE tidemark.users
  ADD COLUMN mail boolean NOT NULL DEFAULT true,      -- whether the user wants mail at all
  ADD COLUMN mail_own boolean NOT NULL DEFAULT false; -- also about changes that the user has made
CREATE INDEX users_email ON tidemark.users (lower(email));
GRANT UPDATE (mail, mail_own) ON tidemark.users TO tidemark_app;

-- To whom the mail of an effect went already: they are left out when it is tried again. Goes with the effect's row in the ledger.
CREATE TABLE tidemark.mails (
  listener text COLLATE "C" NOT NULL,
  tid bigint NOT NULL,
  resource text NOT NULL,
  id text COLLATE "C" NOT NULL,
  recipient text COLLATE "C" NOT NULL,
  refused text, -- why the mail server will never take it; null: it has
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (listener, tid, resource, id, recipient),
  FOREIGN KEY (listener, tid, resource, id) REFERENCES tidemark.effects ON DELETE CASCADE
);
GRANT SELECT, INSERT ON tidemark.mails TO tidemark_app;

-- The effect ledger: one row for each change and each listener whose side effects it starts. The journal is the outbox; a write adds
-- nothing here. Up to a listener's position every change that it wants has its row.

CREATE TABLE tidemark.listener_positions (
  listener text COLLATE "C" PRIMARY KEY CHECK (listener <> ''),
  tid bigint NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  created timestamptz NOT NULL DEFAULT now(),
  changed timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tidemark.effects (
  listener text COLLATE "C" NOT NULL,
  tid bigint NOT NULL,
  resource text NOT NULL,
  id text COLLATE "C" NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'failed', 'parked', 'done', 'discarded')),
  -- the process that made the change: while it lives and has the listener, the first attempt is its own
  origin uuid,
  -- the lease under which a process has taken it, and how often it was taken: what comes back under another number is too late
  holder uuid,
  fence integer NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0,
  due timestamptz NOT NULL DEFAULT now(),
  -- the process of the last attempt, by name, host and pid, for people
  ran_by text,
  last_error text,
  created timestamptz NOT NULL DEFAULT now(),
  started timestamptz,
  finished timestamptz,
  PRIMARY KEY (listener, tid, resource, id)
);
CREATE INDEX effects_open ON tidemark.effects (listener, due) WHERE state IN ('pending', 'failed');
CREATE INDEX effects_parked ON tidemark.effects (listener, tid) WHERE state = 'parked';
CREATE INDEX effects_finished ON tidemark.effects (finished) WHERE state IN ('done', 'discarded');

-- A process holds what it has taken for as long as its lease lasts. One that was stopped for longer comes back under another.
-- What it begins first is what its own listeners are to do: a process without one leaves that to the others.
ALTER TABLE tidemark.processes ADD COLUMN lease uuid, ADD COLUMN leased_until timestamptz, ADD COLUMN listeners text[] NOT NULL DEFAULT '{}';
CREATE INDEX ON tidemark.processes (lease);

GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark.listener_positions, tidemark.effects TO tidemark_app;

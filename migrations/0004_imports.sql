-- How far each git history has been imported: one row for each commit that was, written in the transaction that imports it. Two imports
-- of one history that run at once collide on the primary key, whatever became of their locks.
CREATE TABLE tidemark.imports (
  root text COLLATE "C" NOT NULL, -- the first commit of the history
  path text COLLATE "C" NOT NULL, -- the imported folder, '' for the whole tree
  position bigint NOT NULL,       -- counted from 1
  commit text COLLATE "C" NOT NULL,
  imported timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (root, path, position)
);
GRANT SELECT ON tidemark.imports TO tidemark_app;
-- UPDATE is for LOCK TABLE: an import that starts waits for what a killed one has left running
GRANT SELECT, INSERT, UPDATE ON tidemark.imports TO tidemark_importer;

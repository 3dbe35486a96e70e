-- What is known of the consistency of productions: rules of projects, findings that are open, what followed from changes of statuses.

-- What the tasks of a project are to keep. One row a project, once it has been given rules.
CREATE TABLE project_rules (
  project_id bigint PRIMARY KEY REFERENCES project ON DELETE CASCADE,
  rules jsonb NOT NULL,
  CONSTRAINT project_rules_list CHECK (jsonb_typeof(rules) = 'array')
);
SELECT tidemark.journal_table('project_rules', row_version => true);

-- A repair that was applied: who did it, when and why says the journal.
CREATE TABLE consistency_repair (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project_id bigint, -- none: of what is in no project any more
  entities jsonb NOT NULL, -- what was mended: the entities, each with its differences
  CONSTRAINT consistency_repair_entities CHECK (jsonb_typeof(entities) = 'array')
);
SELECT tidemark.journal_table('consistency_repair', row_version => true);
GRANT SELECT, INSERT, UPDATE, DELETE ON project_rules, consistency_repair TO tidemark_app;

-- Shots and assets that were found inconsistent when they were last validated. A count for health, not a truth: so it is not journaled.
CREATE TABLE inconsistent_entity (
  entity_type text COLLATE "C" NOT NULL,
  entity_id bigint NOT NULL,
  project_id bigint,
  inconsistencies integer NOT NULL CHECK (inconsistencies > 0),
  first_seen timestamptz(3) NOT NULL,
  last_seen timestamptz(3) NOT NULL,
  PRIMARY KEY (entity_type, entity_id)
);
CREATE INDEX inconsistent_entity_project ON inconsistent_entity (project_id);

-- One row for each change of a task's status, once the projection reflects it and was validated; and one each time that somebody asks.
CREATE TABLE propagation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tid bigint, -- of the change; none: asked for
  task_id bigint NOT NULL,
  project_id bigint NOT NULL,
  entity_type text COLLATE "C" NOT NULL,
  entity_id bigint NOT NULL,
  old_status text COLLATE "C" NOT NULL,
  new_status text COLLATE "C" NOT NULL,
  consistency_valid boolean NOT NULL,
  "timestamp" timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (tid, task_id)
);
CREATE INDEX propagation_project ON propagation (project_id, id);
CREATE INDEX propagation_task ON propagation (task_id, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON inconsistent_entity TO tidemark_app;
GRANT SELECT, INSERT ON propagation TO tidemark_app;

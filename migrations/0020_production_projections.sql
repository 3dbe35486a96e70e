-- What is derived from tasks: libs/resources/production/*.projection.ts say how.

-- Of each shot and asset that has tasks, their statuses by type, and a record of each.
CREATE TABLE entity_task_status (
  entity_type text COLLATE "C" NOT NULL,
  entity_id bigint NOT NULL,
  task_status jsonb NOT NULL,
  task_details jsonb NOT NULL,
  PRIMARY KEY (entity_type, entity_id)
);
SELECT tidemark.projection('entity_task_status', 'entity_task_status');

-- How many tasks of a type are at a status, in each sequence of a project; 0: in none.
CREATE TABLE project_progress (
  project_id bigint NOT NULL,
  sequence_id bigint NOT NULL,
  task_type text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  count integer NOT NULL,
  PRIMARY KEY (project_id, sequence_id, task_type, status)
);
SELECT tidemark.projection('project_progress', 'project_progress');

-- For how long tasks of a type were at a status until they left it, and where each task is since when.
CREATE TABLE task_cycle_time (
  project_id bigint NOT NULL,
  task_type text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  visits integer NOT NULL,
  milliseconds bigint NOT NULL,
  PRIMARY KEY (project_id, task_type, status)
);
CREATE TABLE task_cycle_position (
  task_id bigint PRIMARY KEY,
  project_id bigint NOT NULL,
  task_type text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  since timestamptz NOT NULL
);
SELECT tidemark.projection('task_cycle_time', 'task_cycle_time', 'task_cycle_position');

-- Projections: derived tables, each set with the tid that it reflects. A migration makes the tables and registers them; who follows,
-- rebuilds and compares is the program.

CREATE TABLE tidemark.projections (
  name text COLLATE "C" PRIMARY KEY,
  tables regclass[] NOT NULL,
  -- of the definition that has made the rows; 0 before there were any
  version integer NOT NULL DEFAULT 0,
  tid bigint NOT NULL DEFAULT 0,
  error text,
  failed timestamptz,
  -- of the process that has moved the checkpoint last
  origin uuid,
  changed timestamptz NOT NULL DEFAULT now()
);

-- A rebuild under way: how far its tables are. It outlives the process that makes it.
CREATE TABLE tidemark.projection_rebuilds (
  name text COLLATE "C" PRIMARY KEY REFERENCES tidemark.projections ON DELETE CASCADE,
  version integer NOT NULL,
  tid bigint NOT NULL,
  -- the key up to which the source rows are read; all of them are when it is done
  scanned text[],
  done boolean NOT NULL,
  started timestamptz NOT NULL DEFAULT now()
);

-- Registers the tables of a projection, for the owner of both, and empties them: they are filled from the journal. Called again it may name others.
CREATE FUNCTION tidemark.projection(name text, VARIADIC tables regclass[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t regclass;
BEGIN
  IF name !~ '^[a-z][a-z0-9_]{0,49}$' THEN
    RAISE EXCEPTION 'a projection cannot be called "%": small letters, digits and underscores, at most 50', name;
  END IF;
  -- as whoever brings it forward does: the checkpoint first, and then the tables
  PERFORM FROM tidemark.projections r WHERE r.name = projection.name FOR UPDATE;
  FOREACH t IN ARRAY tables LOOP
    IF NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = t AND c.contype = 'p') THEN
      RAISE EXCEPTION 'the table % of projection "%" needs a primary key', t, name;
    END IF;
    IF EXISTS (SELECT FROM tidemark.resources r WHERE r.relation = t) THEN
      RAISE EXCEPTION 'the table % is journaled: a projection is computed from the journal, not part of it', t;
    END IF;
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO tidemark_app', t);
    EXECUTE format('TRUNCATE %s', t);
  END LOOP;
  PERFORM tidemark.drop_rebuild(name);
  INSERT INTO tidemark.projections (name, tables) VALUES (projection.name, projection.tables)
    ON CONFLICT ON CONSTRAINT projections_pkey DO UPDATE SET tables = excluded.tables, version = 0, tid = 0;
END $$;
REVOKE EXECUTE ON FUNCTION tidemark.projection(text, regclass[]) FROM PUBLIC;

-- What a table is called while its successor is made.
CREATE FUNCTION tidemark.rebuild_table(t regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%I.%I', n.nspname, left(c.relname, 54) || '__rebuild')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = t
$$;

-- Makes empty tables beside those of a projection, or leaves those of a rebuild of the same version which was interrupted.
-- The program may make no tables; it may have these made.
CREATE FUNCTION tidemark.begin_rebuild(projection text, version integer, tid bigint, done boolean, anew boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p tidemark.projections;
  t regclass;
  dependent text;
  granted record;
BEGIN
  SELECT * INTO p FROM tidemark.projections r WHERE r.name = projection;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no projection is called "%"', projection;
  END IF;
  IF NOT anew AND EXISTS (SELECT FROM tidemark.projection_rebuilds r WHERE r.name = projection AND r.version = begin_rebuild.version) THEN
    RETURN;
  END IF;
  FOREACH t IN ARRAY p.tables LOOP
    SELECT what INTO dependent FROM (
      SELECT 'the view ' || r.ev_class::regclass FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t AND r.ev_class <> t
      UNION ALL SELECT 'a foreign key of ' || c.conrelid::regclass FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid = t
      UNION ALL SELECT 'its trigger ' || g.tgname FROM pg_trigger g WHERE g.tgrelid = t AND NOT g.tgisinternal
    ) depends(what) LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'the table % of projection "%" cannot be exchanged: % would be lost', t, projection, dependent
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %s', tidemark.rebuild_table(t));
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', tidemark.rebuild_table(t), t);
    FOR granted IN SELECT a.privilege_type AS what, coalesce(quote_ident(r.rolname), 'PUBLIC') AS grantee
        FROM pg_class c, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE c.oid = t AND a.grantee <> c.relowner LOOP
      EXECUTE format('GRANT %s ON %s TO %s', granted.what, tidemark.rebuild_table(t), granted.grantee);
    END LOOP;
  END LOOP;
  DELETE FROM tidemark.projection_rebuilds r WHERE r.name = projection;
  INSERT INTO tidemark.projection_rebuilds (name, version, tid, done) VALUES (projection, version, tid, done);
END $$;

-- Puts the new tables in the place of the old ones. Waits for readers of the old ones, and lets none in meanwhile.
CREATE FUNCTION tidemark.finish_rebuild(projection text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p tidemark.projections;
  made tidemark.projection_rebuilds;
  t regclass;
  successor regclass;
  successors regclass[] := '{}';
  old_name text;
  index record;
BEGIN
  SELECT * INTO STRICT p FROM tidemark.projections r WHERE r.name = projection FOR UPDATE;
  SELECT * INTO STRICT made FROM tidemark.projection_rebuilds r WHERE r.name = projection;
  IF NOT made.done OR made.tid < p.tid THEN
    RAISE EXCEPTION 'the rebuild of "%" has not come as far as the projection itself', projection;
  END IF;
  FOREACH t IN ARRAY p.tables LOOP
    SELECT c.relname INTO old_name FROM pg_class c WHERE c.oid = t;
    successor := tidemark.rebuild_table(t)::regclass;
    EXECUTE format('DROP TABLE %s', t);
    EXECUTE format('ALTER TABLE %s RENAME TO %I', successor, old_name);
    FOR index IN SELECT c.oid::regclass AS rel, replace(c.relname, '__rebuild', '') AS name
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = successor AND c.relname LIKE '%\_\_rebuild%' LOOP
      EXECUTE format('ALTER INDEX %s RENAME TO %I', index.rel, index.name);
    END LOOP;
    successors := successors || successor;
  END LOOP;
  UPDATE tidemark.projections r
    SET tables = successors, version = made.version, tid = made.tid, error = NULL, failed = NULL, changed = now() WHERE r.name = projection;
  DELETE FROM tidemark.projection_rebuilds r WHERE r.name = projection;
END $$;

-- Drops the tables of a rebuild that is not to be finished.
CREATE FUNCTION tidemark.drop_rebuild(projection text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t regclass;
BEGIN
  FOR t IN SELECT unnest(r.tables) FROM tidemark.projections r WHERE r.name = projection LOOP
    EXECUTE format('DROP TABLE IF EXISTS %s', tidemark.rebuild_table(t));
  END LOOP;
  DELETE FROM tidemark.projection_rebuilds r WHERE r.name = projection;
END $$;

REVOKE EXECUTE ON FUNCTION tidemark.begin_rebuild(text, integer, bigint, boolean, boolean), tidemark.finish_rebuild(text),
  tidemark.drop_rebuild(text), tidemark.rebuild_table(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tidemark.begin_rebuild(text, integer, bigint, boolean, boolean), tidemark.finish_rebuild(text),
  tidemark.drop_rebuild(text), tidemark.rebuild_table(regclass) TO tidemark_app;
GRANT SELECT, UPDATE (version, tid, error, failed, origin, changed) ON tidemark.projections TO tidemark_app;
GRANT SELECT, UPDATE (tid, scanned, done) ON tidemark.projection_rebuilds TO tidemark_app;

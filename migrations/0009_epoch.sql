-- Cursors name the epoch of the journal that they are places of. A copy of a database has a journal of its own from its first
-- change on, so it must not have the epoch of its original: the name counts at the place only where it was given.
ALTER TABLE tidemark.epoch
  ADD COLUMN place text,    -- where epoch was given
  ADD COLUMN timeline text, -- of the server at that moment
  ADD COLUMN previous text; -- of a copy: the epoch of its original

-- Which database this is. A restored dump, a clone and an upgraded cluster are other places; a copy of the whole cluster's files is
-- not. A service that hides the cluster's identifier leaves the database's.
CREATE FUNCTION tidemark.place() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  database text := (SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database());
BEGIN
  RETURN concat_ws('/', (SELECT c.system_identifier FROM pg_control_system() c), database);
EXCEPTION WHEN insufficient_privilege THEN
  RETURN database;
END $$;

-- The server's history: another one after a restore to a point in time, and after a failover. Null where that is hidden.
CREATE FUNCTION tidemark.timeline() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
EXCEPTION WHEN insufficient_privilege THEN
  RETURN NULL;
END $$;

CREATE FUNCTION tidemark.current_epoch() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN e.place = tidemark.place() THEN e.epoch ELSE substr(md5(e.epoch || ' ' || tidemark.place()), 1, 8) END
    FROM tidemark.epoch e
$$;

-- The same for whoever gives out cursors: a copy has its epoch for good then, and copies of it know it as that of their original.
CREATE FUNCTION tidemark.settle_epoch() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM tidemark.epoch e WHERE e.place <> tidemark.place()) THEN
    UPDATE tidemark.epoch e SET previous = e.epoch, epoch = tidemark.current_epoch(), place = tidemark.place(), timeline = tidemark.timeline(),
      created = now() WHERE e.place <> tidemark.place();
  END IF;
  RETURN tidemark.current_epoch();
END $$;

-- For whoever has set a database back, or lets a copy of a cluster's files take changes: every cursor given out before is refused.
CREATE FUNCTION tidemark.renew_epoch() RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE tidemark.epoch SET epoch = substr(md5(gen_random_uuid()::text), 1, 8), created = now(),
    place = tidemark.place(), timeline = tidemark.timeline(), previous = NULL RETURNING epoch
$$;

-- For whoever lets a copy that holds all of its original take the place of it: the original's cursors go on, also when the copy has
-- settled. For a server that has failed over and lost nothing: its cursors go on, and its new timeline is known.
CREATE FUNCTION tidemark.keep_epoch() RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE tidemark.epoch e SET
    epoch = CASE WHEN e.place = tidemark.place() AND e.timeline IS NOT DISTINCT FROM tidemark.timeline() THEN coalesce(e.previous, e.epoch)
      ELSE e.epoch END,
    place = tidemark.place(), timeline = tidemark.timeline(), previous = NULL RETURNING epoch
$$;

REVOKE EXECUTE ON FUNCTION tidemark.place(), tidemark.timeline(), tidemark.current_epoch(), tidemark.settle_epoch(), tidemark.renew_epoch(),
    tidemark.keep_epoch()
  FROM PUBLIC, tidemark_app, tidemark_importer;
GRANT EXECUTE ON FUNCTION tidemark.current_epoch(), tidemark.settle_epoch() TO tidemark_app;

SELECT tidemark.keep_epoch();

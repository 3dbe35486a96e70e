-- Checks: what compares a model table with its journal page by page, what repairs the difference as a journaled change, and what is kept
-- of findings. What a check is, and when it runs, is the program's.

-- ---------------------------------------------------------------------------------------------------------
-- Comparing rows with the fold of their journal
-- ---------------------------------------------------------------------------------------------------------

-- The columns of a table's primary key in key order, with the operators of its own index: another one (text's for a citext key) could
-- not use the index, or would sort otherwise.
CREATE FUNCTION tidemark.key_columns(rel regclass) RETURNS TABLE (ord integer, name text, type text, less text, equal text, greater text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.ord::integer, a.attname::text, format_type(a.atttypid, a.atttypmod),
      min(o.operator) FILTER (WHERE o.strategy = 1), min(o.operator) FILTER (WHERE o.strategy = 3), min(o.operator) FILTER (WHERE o.strategy = 5)
    FROM pg_index i CROSS JOIN unnest(i.indkey::smallint[], i.indclass::oid[]) WITH ORDINALITY k(attnum, opclass, ord)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    JOIN pg_opclass c ON c.oid = k.opclass
    CROSS JOIN LATERAL (
      SELECT m.amopstrategy AS strategy, format('OPERATOR(%I.%s)', n.nspname, e.oprname) AS operator
        FROM pg_amop m JOIN pg_operator e ON e.oid = m.amopopr JOIN pg_namespace n ON n.oid = e.oprnamespace
        WHERE m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
    ) o
    WHERE i.indrelid = rel AND i.indisprimary GROUP BY k.ord, a.attname, a.atttypid, a.atttypmod ORDER BY k.ord
$$;

-- SQL: whether the row l is the one of an id. The id is taken for a key of now; it may be one of another type, from before.
CREATE FUNCTION tidemark.key_is(rel regclass, id text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(CASE count WHEN 1 THEN format('l.%I %s (%s)::%s', name, equal, id, type)
      ELSE format('l.%I %s (%s::jsonb ->> %s)::%s', name, equal, id, ord - 1, type) END, ' AND ' ORDER BY ord)
    FROM (SELECT k.*, count(*) OVER () FROM tidemark.key_columns(rel) k) k
$$;

-- SQL of the rows l of a table whose ids are in $1: by their keys, or (where an id is no key of now) by looking at every row.
CREATE FUNCTION tidemark.rows_of_ids(rel regclass, by_key boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN by_key THEN format('(SELECT DISTINCT i.id COLLATE "C" AS id FROM unnest($1) i(id)) i
      CROSS JOIN LATERAL (SELECT l.* FROM ONLY %s l WHERE %s LIMIT 1) l WHERE %s = i.id', rel, tidemark.key_is(rel, 'i.id'), tidemark.id_expression(rel, 'l'))
    ELSE format('ONLY %s l WHERE %s = ANY ($1)', rel, tidemark.id_expression(rel, 'l')) END
$$;

-- SQL: of the ids in $1 the rows that differ from the fold of their journal: id, whether the journal has the row, whether the table has
-- it, the fields of each and the last tid of its journal. Values go through a form: a digest, so that a page of large rows stays small.
CREATE FUNCTION tidemark.comparison(of tidemark.resources, by_key boolean, form text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format($sql$
    WITH entries AS MATERIALIZED (
      SELECT i.id, j.tid, max(j.tid) OVER w AS last, max(j.tid) FILTER (WHERE j.change = 'CREATE') OVER w AS created,
          max(j.tid) FILTER (WHERE j.change = 'DELETE') OVER w AS deleted
        FROM (SELECT DISTINCT i.id COLLATE "C" AS id FROM unnest($1) i(id)) i
        CROSS JOIN LATERAL (SELECT j.tid, j.change FROM %1$s j WHERE j.id = i.id OFFSET 0) j
        WINDOW w AS (PARTITION BY i.id)
    ), folded AS MATERIALIZED (
      SELECT f.id, bool_or(f.lives) AS lives, max(f.last) AS last, jsonb_object_agg(f.field, f.value) FILTER (WHERE f.value IS NOT NULL) AS fields
        FROM (
          SELECT DISTINCT ON (e.id, h.field) e.id, e.last, e.created > coalesce(e.deleted, -1) AS lives, h.field, h.value
            FROM entries e LEFT JOIN LATERAL (
              SELECT h.field, %2$s AS value FROM %3$s h
                WHERE h.tid = e.tid AND h.id = e.id AND e.tid >= e.created AND e.created > coalesce(e.deleted, -1) OFFSET 0
            ) h ON true
            ORDER BY e.id, h.field, e.tid DESC
        ) f GROUP BY f.id
    ), live AS MATERIALIZED (
      SELECT %4$s AS id, (
          SELECT jsonb_object_agg(h.field, %2$s) FILTER (WHERE h.value IS NOT NULL) FROM (VALUES %5$s) h(field, value)
        ) AS fields
        FROM %6$s
    )
    SELECT coalesce(f.id, l.id) AS id, coalesce(f.lives, false) AS journaled, l.id IS NOT NULL AS present, f.fields AS folded, l.fields, f.last
      FROM folded f FULL JOIN live l ON l.id = f.id
      WHERE coalesce(f.lives, false) <> (l.id IS NOT NULL) OR f.lives AND f.fields::text IS DISTINCT FROM l.fields::text$sql$,
    of.journal, format(form, 'h.value'), of.history, tidemark.id_expression(of.relation, 'l'), v.written || tidemark.json_key_rows(of.json_keys, ''),
    tidemark.rows_of_ids(of.relation, by_key))
    FROM (
      SELECT string_agg(format('(%L, %s)', c.name, format(c.written, 'l.' || quote_ident(c.name))), ', ') AS written
        FROM tidemark.journaled_columns(of.relation) c
        WHERE NOT (of.versioned AND c.name = 'row_version') AND c.name <> ALL (of.json_keys)
    ) v
$$;

CREATE FUNCTION tidemark.checked_resource(resource_name text) RETURNS tidemark.resources
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known tidemark.resources := (SELECT r FROM tidemark.resources r WHERE r.resource = resource_name);
BEGIN
  IF known.resource IS NULL THEN RAISE EXCEPTION 'no resource "%" is journaled', resource_name USING ERRCODE = 'undefined_object'; END IF;
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = known.relation) THEN
    RAISE EXCEPTION 'the table % of the resource "%" is gone', known.relation_name, resource_name USING ERRCODE = 'undefined_table';
  END IF;
  RETURN known;
END $$;

-- Where rows and the fold of their journal differ, of some ids: field by field, or the whole row where it is on one side only.
-- An absent value is NULL. since: the last tid of the row's journal; what made the difference came later, or was done to the journal.
CREATE FUNCTION tidemark.drift_of(resource_name text, ids text[])
RETURNS TABLE (id text, kind text, field text, journaled jsonb, present jsonb, since bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off SET jit = off AS $$
DECLARE
  known tidemark.resources := tidemark.checked_resource(resource_name);
  digest text := 'hashtextextended(%s::text COLLATE "C", 0)';
  by_key boolean := true;
  suspects text[];
BEGIN
  BEGIN
    EXECUTE format('SELECT array_agg(c.id) FROM (%s) c', tidemark.comparison(known, true, digest)) USING ids INTO suspects;
  EXCEPTION WHEN data_exception THEN
    by_key := false;
    EXECUTE format('SELECT array_agg(c.id) FROM (%s) c', tidemark.comparison(known, false, digest)) USING ids INTO suspects;
  END;
  IF suspects IS NULL THEN RETURN; END IF;
  RETURN QUERY EXECUTE format($sql$
    SELECT c.id, CASE WHEN NOT c.present THEN 'missing' WHEN NOT c.journaled THEN 'extra' ELSE 'wrong' END, f.field, f.folded, f.actual, c.last
      FROM (%s) c CROSS JOIN LATERAL (
        SELECT NULL::text AS field, CASE WHEN c.journaled THEN c.folded END AS folded, CASE WHEN c.present THEN c.fields END AS actual
          WHERE c.journaled <> c.present
        UNION ALL
        SELECT coalesce(j.key, p.key), j.value, p.value
          FROM jsonb_each(CASE WHEN c.present THEN c.folded END) j FULL JOIN jsonb_each(CASE WHEN c.journaled THEN c.fields END) p ON p.key = j.key
          WHERE c.journaled AND c.present AND j.value::text IS DISTINCT FROM p.value::text
      ) f ORDER BY c.id, f.field$sql$, tidemark.comparison(known, by_key, '%s')) USING suspects;
END $$;

-- Of some ids those that the table does not have.
CREATE FUNCTION tidemark.absent_ids(resource_name text, ids text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET row_security = off SET jit = off AS $$
DECLARE
  known tidemark.resources := tidemark.checked_resource(resource_name);
  statement text := 'SELECT array_agg(a.id) FROM (SELECT u.id COLLATE "C" FROM unnest($1) u(id) EXCEPT SELECT %s FROM %s) a(id)';
  absent text[];
BEGIN
  BEGIN
    EXECUTE format(statement, tidemark.id_expression(known.relation, 'l'), tidemark.rows_of_ids(known.relation, true)) USING ids INTO absent;
  EXCEPTION WHEN data_exception THEN
    EXECUTE format(statement, tidemark.id_expression(known.relation, 'l'), tidemark.rows_of_ids(known.relation, false)) USING ids INTO absent;
  END;
  RETURN coalesce(absent, '{}');
END $$;

-- The ids of the next rows of a table in the order of its key, after a key (null: from the first on), and the last of these keys.
CREATE FUNCTION tidemark.model_page(resource_name text, after text[], most integer, OUT ids text[], OUT last text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET row_security = off SET jit = off AS $$
DECLARE
  known tidemark.resources := tidemark.checked_resource(resource_name);
  key text;
  sorted text;
  beyond text;
BEGIN
  SELECT string_agg(format('l.%I::text', k.name), ', ' ORDER BY k.ord), string_agg(format('l.%I USING %s', k.name, k.less), ', ' ORDER BY k.ord),
      CASE WHEN bool_and(k.greater = 'OPERATOR(pg_catalog.>)')
        THEN format('(%s) > (%s)', string_agg(format('l.%I', k.name), ', ' ORDER BY k.ord), string_agg(format('$1[%s]::%s', k.ord, k.type), ', ' ORDER BY k.ord))
        ELSE string_agg(format('(%sl.%I %s $1[%s]::%s)', k.before, k.name, k.greater, k.ord, k.type), ' OR ' ORDER BY k.ord) END
    INTO key, sorted, beyond
    FROM (
      SELECT c.*, (SELECT coalesce(string_agg(format('l.%I %s $1[%s]::%s AND ', b.name, b.equal, b.ord, b.type), '' ORDER BY b.ord), '')
          FROM tidemark.key_columns(known.relation) b WHERE b.ord < c.ord) AS before
        FROM tidemark.key_columns(known.relation) c
    ) k;
  EXECUTE format('WITH p AS MATERIALIZED (
        SELECT %s AS id, ARRAY[%s] AS key, row_number() OVER (ORDER BY %s) AS n FROM ONLY %s l WHERE %s ORDER BY %3$s LIMIT $2
      ) SELECT (SELECT array_agg(p.id ORDER BY p.n) FROM p), (SELECT p.key FROM p ORDER BY p.n DESC LIMIT 1)',
      tidemark.id_expression(known.relation, 'l'), key, sorted, known.relation, CASE WHEN after IS NULL THEN 'true' ELSE beyond END)
    USING after, most INTO ids, last;
  ids := coalesce(ids, '{}');
END $$;

-- ---------------------------------------------------------------------------------------------------------
-- Repairing them
-- ---------------------------------------------------------------------------------------------------------

-- Nobody changes these rows until the end of the transaction: not those that are there, and none of the others is made.
CREATE FUNCTION tidemark.hold_rows(of tidemark.resources, ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('lock_timeout', '5s', true);
  IF cardinality(tidemark.absent_ids(of.resource, ids)) > 0 THEN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', of.relation);
    RETURN;
  END IF;
  EXECUTE format('SELECT FROM (SELECT DISTINCT i.id COLLATE "C" AS id FROM unnest($1) i(id) ORDER BY 1) i
    CROSS JOIN LATERAL (SELECT FROM ONLY %s l WHERE %s LIMIT 1 FOR UPDATE) l', of.relation, tidemark.key_is(of.relation, 'i.id')) USING ids;
END $$;

-- Journals rows as they are, where they differ from the fold of their journal: CREATE of one that the journal does not have, MODIFY of the
-- fields that differ, DELETE of one that is gone. It can journal nothing but what is in the table. Returns how many rows it has journaled.
CREATE FUNCTION tidemark.accept_rows(resource_name text, ids text[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off SET jit = off AS $$
DECLARE
  known tidemark.resources := tidemark.checked_resource(resource_name);
  rows integer;
BEGIN
  PERFORM tidemark.hold_rows(known, ids);
  EXECUTE format($sql$
    WITH drift AS MATERIALIZED (SELECT d.* FROM tidemark.drift_of(%1$L, $1) d),
    rows AS MATERIALIZED (
      SELECT DISTINCT d.id, CASE d.kind WHEN 'missing' THEN 'DELETE' WHEN 'extra' THEN 'CREATE' ELSE 'MODIFY' END AS change FROM drift d
    ), t AS MATERIALIZED (
      SELECT (s.stamp).* FROM (SELECT tidemark.stamp(false, (SELECT count(*) FROM rows), %1$L) AS stamp OFFSET 0) s WHERE (s.stamp).tid IS NOT NULL
    ), j AS (
      INSERT INTO %2$s (resource, tid, id, change, time, author, ipnr, authenticated, origin, db_role, txn, row_version, comment, meta)
        SELECT %1$L, t.tid, r.id, r.change, t.time, t.author, t.ipnr, t.authenticated, t.origin, t.db_role, t.txn,
            CASE WHEN r.change <> 'DELETE' THEN %4$s END, t.comment, t.meta
          FROM rows r CROSS JOIN t
    ), h AS (
      INSERT INTO %3$s (resource, tid, id, field, value)
        SELECT %1$L, t.tid, d.id, d.field, d.present FROM drift d CROSS JOIN t WHERE d.kind = 'wrong'
        UNION ALL
        SELECT %1$L, t.tid, d.id, f.key, f.value FROM drift d CROSS JOIN t CROSS JOIN jsonb_each(d.present) f WHERE d.kind = 'extra'
    )
    SELECT count(*) FROM rows$sql$, known.resource, known.journal, known.history,
    CASE WHEN known.versioned THEN format('(SELECT l.row_version FROM ONLY %s l WHERE %s)', known.relation, tidemark.key_is(known.relation, 'r.id'))
      ELSE 'NULL::bigint' END)
    USING ids INTO rows;
  RETURN rows;
END $$;

-- Writes what the journal says into the table, by ordinary statements, which are journaled like any other: UPDATE of the fields that differ,
-- INSERT of a row that is missing, DELETE of one that the journal does not have. It has the rights of who calls it, and their search_path,
-- which triggers of theirs may need. Returns how many rows it has written.
CREATE FUNCTION tidemark.restore_rows(resource_name text, ids text[]) RETURNS integer
LANGUAGE plpgsql SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET lc_monetary = 'C' AS $$
DECLARE
  known tidemark.resources := tidemark.checked_resource(resource_name);
  key_met text := tidemark.key_is(known.relation, '$1');
  rows integer := 0;
  d record;
BEGIN
  PERFORM tidemark.hold_rows(known, ids);
  FOR d IN
    SELECT f.id, min(f.kind) AS kind, array_agg(f.field) AS fields, (array_agg(f.journaled))[1] AS whole,
        coalesce(jsonb_object_agg(f.field, f.journaled) FILTER (WHERE f.field IS NOT NULL AND f.journaled IS NOT NULL), '{}') AS vals
      FROM tidemark.drift_of(resource_name, ids) f GROUP BY f.id ORDER BY f.id
  LOOP
    IF d.kind = 'extra' THEN
      EXECUTE format('DELETE FROM ONLY %s l WHERE %s', known.relation, key_met) USING d.id;
    ELSIF d.kind = 'wrong' THEN
      EXECUTE format('UPDATE ONLY %s l SET %s WHERE %s', known.relation, tidemark.restored_columns(known, d.fields), key_met) USING d.id, d.vals, d.fields;
    ELSE
      EXECUTE tidemark.restoring_insert(known) USING d.whole;
    END IF;
    rows := rows + 1;
  END LOOP;
  RETURN rows;
END $$;

-- SQL that sets the columns of some fields from the JSON object $2; of the keys of a JSON column only those in $3.
CREATE FUNCTION tidemark.restored_columns(of tidemark.resources, fields text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(s.set, ', ') FROM (
    SELECT format('%I = ', c.name) || format(c.read, format('($2 -> %L)', c.name)) AS set
      FROM tidemark.journaled_columns(of.relation) c
      WHERE c.name = ANY (fields) AND c.name <> ALL (of.json_keys) AND NOT (of.versioned AND c.name = 'row_version')
    UNION ALL
    SELECT format($sql$%1$I = (l.%1$I - ARRAY(SELECT substr(f.field, %2$s) FROM unnest($3) f(field) WHERE starts_with(f.field, %3$L)))
        || coalesce((SELECT jsonb_object_agg(substr(e.key, %2$s), e.value) FROM jsonb_each($2) e WHERE starts_with(e.key, %3$L)), '{}')$sql$,
        k.name, length(k.name) + 2, k.name || '.')
      FROM unnest(of.json_keys) k(name) WHERE EXISTS (SELECT FROM unnest(fields) f(field) WHERE starts_with(f.field, k.name || '.'))
  ) s
$$;

-- SQL that makes a row from the JSON object $1 of its fields.
CREATE FUNCTION tidemark.restoring_insert(of tidemark.resources) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s', of.relation, string_agg(quote_ident(c.name), ', '), string_agg(
      CASE WHEN c.name = ANY (of.json_keys)
        THEN format($sql$coalesce((SELECT jsonb_object_agg(substr(e.key, %s), e.value) FROM jsonb_each($1) e WHERE starts_with(e.key, %L)), '{}')$sql$,
          length(c.name) + 2, c.name || '.')
        ELSE format(c.read, format('($1 -> %L)', c.name)) END, ', '))
    FROM tidemark.journaled_columns(of.relation) c WHERE NOT (of.versioned AND c.name = 'row_version')
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Findings
-- ---------------------------------------------------------------------------------------------------------

-- As in 0001, but for tidemark.finding: the one table of this schema that is journaled, so that findings are told like any other change.
CREATE OR REPLACE FUNCTION tidemark.journal_refusal(rel regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN c.relkind = 'p' THEN 'it is partitioned: a direct write to a partition would escape'
    WHEN c.relispartition THEN 'it is a partition'
    WHEN c.relkind <> 'r' THEN 'it is not an ordinary table'
    WHEN n.nspname IN ('pg_catalog', 'information_schema') OR n.nspname = 'tidemark' AND c.relname <> 'finding'
      OR EXISTS (SELECT FROM tidemark.resources r WHERE c.oid IN (r.journal, r.history)) THEN 'it belongs to the journal or the system'
    WHEN c.relpersistence = 't' THEN 'it is temporary'
    WHEN c.relpersistence = 'u' THEN 'it is unlogged: after a crash it would be empty and its journal would not'
    WHEN EXISTS (SELECT FROM pg_inherits h WHERE rel IN (h.inhrelid, h.inhparent)) THEN 'it takes part in inheritance: a write to a child would escape'
    WHEN c.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY would hide rows from the journal'
    WHEN i.indexrelid IS NULL THEN 'it has no primary key'
    WHEN NOT i.indimmediate THEN 'its primary key is DEFERRABLE: tid order would not be commit order'
    WHEN octet_length(c.relname) > 55 THEN 'its name is longer than 55 bytes, so its journal would have no name'
  END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.oid = rel
$$;

-- One violation of one rule, found once or a thousand times. Values that are too long are cut.
CREATE TABLE tidemark.finding (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- what makes two of them the same one
  key text COLLATE "C" NOT NULL UNIQUE,
  check_name text NOT NULL,
  -- the resource or the projection that it is about, and the row there
  resource text NOT NULL,
  row_id text NOT NULL,
  field text,
  kind text NOT NULL,
  expected jsonb,
  actual jsonb,
  -- up to this tid all was well, as far as anybody can tell
  since_tid bigint,
  -- how its check finds this place again
  place text NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved', 'accepted')),
  first_seen timestamptz NOT NULL DEFAULT now(),
  resolved timestamptz,
  -- nobody, when a check has found that it is gone
  resolved_by text,
  reason text,
  CHECK ((state = 'open') = (resolved IS NULL))
);
CREATE INDEX finding_open ON tidemark.finding (check_name, resource, id) WHERE state = 'open';
SELECT tidemark.journal_table('tidemark.finding', row_version => true);

-- Apart, as it is no news that a finding was found again.
CREATE TABLE tidemark.finding_seen (
  id bigint PRIMARY KEY REFERENCES tidemark.finding ON DELETE CASCADE,
  last_seen timestamptz NOT NULL
);

-- ---------------------------------------------------------------------------------------------------------
-- When checks run
-- ---------------------------------------------------------------------------------------------------------

-- One row: the process that holds it looks at the next page.
CREATE TABLE tidemark.check_schedule (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  -- when the next page may be looked at: what keeps all processes together within the budget
  due timestamptz NOT NULL DEFAULT now(),
  full_started timestamptz,
  full_finished timestamptz
);
INSERT INTO tidemark.check_schedule DEFAULT VALUES;

-- How far each check has come, in the daily run over everything and in the one that never ends.
CREATE TABLE tidemark.check_positions (
  run text NOT NULL CHECK (run IN ('full', 'sample')),
  check_name text COLLATE "C" NOT NULL,
  resource text COLLATE "C" NOT NULL,
  -- null: at the beginning
  place text,
  done boolean NOT NULL DEFAULT false,
  rows bigint NOT NULL DEFAULT 0,
  error text,
  looked timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run, check_name, resource)
);

-- The furthest that a checkpoint ever was: one that is set back does not tell so itself. A projection that begins anew has version 0.
ALTER TABLE tidemark.projections ADD COLUMN furthest bigint NOT NULL DEFAULT 0;
UPDATE tidemark.projections SET furthest = tid;
CREATE FUNCTION tidemark.keep_furthest() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  new.furthest := CASE WHEN new.version = 0 THEN new.tid ELSE greatest(old.furthest, new.tid) END;
  RETURN new;
END $$;
CREATE TRIGGER furthest BEFORE UPDATE ON tidemark.projections FOR EACH ROW EXECUTE FUNCTION tidemark.keep_furthest();

-- The primary key of each of a projection's tables, by name: one that has lost its own may hold a row twice, which is to be seen and mended.
ALTER TABLE tidemark.projections ADD COLUMN keys jsonb;
CREATE FUNCTION tidemark.keep_keys() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  new.keys := (
    SELECT jsonb_agg(coalesce((SELECT jsonb_agg(k.name ORDER BY k.ord) FROM tidemark.key_columns(t.rel) k), new.keys -> (t.n::integer - 1)) ORDER BY t.n)
      FROM unnest(new.tables) WITH ORDINALITY t(rel, n));
  RETURN new;
END $$;
CREATE TRIGGER keys BEFORE INSERT OR UPDATE OF tables ON tidemark.projections FOR EACH ROW EXECUTE FUNCTION tidemark.keep_keys();
UPDATE tidemark.projections SET tables = tables;

-- Gives the tables of a rebuild the primary keys that those which they are to take the place of have lost.
CREATE FUNCTION tidemark.rekey_rebuild(projection text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT tidemark.rebuild_table(u.rel) AS made, p.keys -> (u.n::integer - 1) AS key
      FROM tidemark.projections p CROSS JOIN unnest(p.tables) WITH ORDINALITY u(rel, n) WHERE p.name = projection LOOP
    CONTINUE WHEN EXISTS (SELECT FROM tidemark.key_columns(t.made::regclass));
    EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (%s)', t.made, (SELECT string_agg(quote_ident(k.name), ', ') FROM jsonb_array_elements_text(t.key) k(name)));
  END LOOP;
END $$;

DO $$
BEGIN
  PERFORM tidemark.withdraw('FUNCTION ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)))
    FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace
      AND p.proname IN ('key_columns', 'key_is', 'rows_of_ids', 'comparison', 'checked_resource', 'drift_of', 'absent_ids', 'model_page', 'hold_rows',
        'accept_rows', 'restore_rows', 'restored_columns', 'restoring_insert', 'keep_furthest', 'keep_keys', 'rekey_rebuild');
END $$;
-- all but accept_rows() and rekey_rebuild() run with the rights of who calls them
GRANT EXECUTE ON FUNCTION tidemark.key_columns(regclass), tidemark.key_is(regclass, text), tidemark.rows_of_ids(regclass, boolean),
  tidemark.comparison(tidemark.resources, boolean, text), tidemark.checked_resource(text), tidemark.drift_of(text, text[]),
  tidemark.absent_ids(text, text[]), tidemark.model_page(text, text[], integer), tidemark.hold_rows(tidemark.resources, text[]),
  tidemark.accept_rows(text, text[]), tidemark.restore_rows(text, text[]), tidemark.restored_columns(tidemark.resources, text[]),
  tidemark.restoring_insert(tidemark.resources), tidemark.rekey_rebuild(text) TO tidemark_app;
GRANT SELECT, INSERT, UPDATE ON tidemark.finding TO tidemark_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark.finding_seen, tidemark.check_schedule, tidemark.check_positions TO tidemark_app;

-- The journal: every change of a model table is written here by its triggers, in the same transaction.
-- docs/architecture.md draws the write path and the tail; docs/guarantees.md names the test of each promise.

-- ---------------------------------------------------------------------------------------------------------
-- Roles. They belong to the cluster, so several Tidemark databases in one cluster share them; the rights they
-- are given below belong to this database alone.
-- ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
  app_role text;
BEGIN
  FOREACH app_role IN ARRAY ARRAY['tidemark_app', 'tidemark_importer'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = app_role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', app_role);
      EXCEPTION
        -- another database of the cluster is being migrated at this moment
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
          RAISE EXCEPTION 'role % does not exist and % may not create it', app_role, current_user
            USING ERRCODE = 'insufficient_privilege',
              HINT = format('Let an administrator run: CREATE ROLE %1$I NOLOGIN; GRANT %1$I TO %2$I;', app_role, current_user);
      END;
    END IF;
  END LOOP;
  -- The owner works as either of them (SET ROLE). A role that may not grant must have been made a member.
  FOREACH app_role IN ARRAY ARRAY['tidemark_app', 'tidemark_importer'] LOOP
    IF NOT pg_has_role(current_user, app_role, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO %I', app_role, current_user);
    END IF;
  END LOOP;
  IF NOT pg_has_role('tidemark_importer', 'tidemark_app', 'MEMBER') THEN
    GRANT tidemark_app TO tidemark_importer;
  END IF;
END $$;

-- status shows who holds the tail, where the owner may grant the right to see it
DO $$
BEGIN
  IF NOT pg_has_role('tidemark_app', 'pg_read_all_stats', 'MEMBER') THEN
    GRANT pg_read_all_stats TO tidemark_app;
  END IF;
EXCEPTION WHEN insufficient_privilege OR unique_violation OR object_not_in_prerequisite_state THEN
  RAISE NOTICE 'pg_read_all_stats is not granted to tidemark_app: status will not show queries of other roles';
END $$;

-- The migrator has created the schema: its own table of applied migrations stands in it.
CREATE SCHEMA IF NOT EXISTS tidemark;
GRANT USAGE ON SCHEMA tidemark TO tidemark_app;

-- ---------------------------------------------------------------------------------------------------------
-- Tables
-- ---------------------------------------------------------------------------------------------------------

-- One row. The epoch names this database in cursors given to the outside; the key signs trigger state, so
-- that no session can forge a tid. Nobody but the owner may read the key.
CREATE TABLE tidemark.epoch (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  epoch text NOT NULL DEFAULT substr(md5(gen_random_uuid()::text), 1, 8),
  signing_key bytea NOT NULL DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
  created timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tidemark.epoch DEFAULT VALUES;
GRANT SELECT (epoch, created) ON tidemark.epoch TO tidemark_app;

CREATE SEQUENCE tidemark.tid CACHE 1 NO CYCLE;
-- A sequence that was never called does not say so: its position reads 1. The first value is burnt.
SELECT nextval('tidemark.tid');

CREATE TABLE tidemark.journal (
  resource text COLLATE "C" NOT NULL,
  tid bigint NOT NULL,
  id text COLLATE "C" NOT NULL,
  change text NOT NULL,
  time timestamptz NOT NULL,
  author text NOT NULL,
  ipnr inet,
  authenticated boolean,
  origin uuid,
  db_role text NOT NULL,
  txn bigint NOT NULL,
  row_version bigint,
  comment text,
  meta jsonb
) PARTITION BY LIST (resource);

CREATE TABLE tidemark.history (
  resource text COLLATE "C" NOT NULL,
  tid bigint NOT NULL,
  id text COLLATE "C" NOT NULL,
  field text COLLATE "C" NOT NULL,
  value jsonb
) PARTITION BY LIST (resource);

GRANT SELECT ON tidemark.journal, tidemark.history TO tidemark_app;

-- What journal_table() was last told and saw: the columns, to find out which values later DDL has changed.
CREATE TABLE tidemark.resources (
  resource text COLLATE "C" PRIMARY KEY,
  relation regclass NOT NULL UNIQUE,
  relation_name text NOT NULL,
  columns jsonb NOT NULL,
  versioned boolean NOT NULL
);
GRANT SELECT ON tidemark.resources TO tidemark_app;

-- Server processes that are alive, each under the origin it writes into the journal.
CREATE TABLE tidemark.processes (
  origin uuid PRIMARY KEY,
  name text NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  version text NOT NULL,
  started timestamptz NOT NULL DEFAULT now(),
  seen timestamptz NOT NULL DEFAULT now(),
  position bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark.processes TO tidemark_app;

-- ---------------------------------------------------------------------------------------------------------
-- Drawing a tid, and what is safe to read
-- ---------------------------------------------------------------------------------------------------------

-- Draws the next tid. First it declares the writer: a shared advisory transaction lock whose key holds the
-- position of the sequence before the draw (29796 = 'td' in the high 16 bits names the lock's purpose). No
-- tid above the lowest key so held is safe to read. The setting only saves locks; it is never trusted,
-- because any session can write it: the key is the lower of setting and position.
CREATE FUNCTION tidemark.draw_tid() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  issued bigint := pg_sequence_last_value('tidemark.tid'::regclass);
  guard bigint := nullif(current_setting('tidemark.floor', true), '')::bigint;
BEGIN
  IF guard IS NULL OR guard > issued OR guard < 0 THEN
    guard := issued;
    PERFORM set_config('tidemark.floor', guard::text, true);
  END IF;
  PERFORM pg_advisory_xact_lock_shared((29796::bigint << 48) | guard);
  RETURN nextval('tidemark.tid');
END $$;

-- head = the highest tid that was ever drawn; safe = the highest tid up to which nothing can appear any more.
-- Two statements, in this order: a tid up to head was drawn before the locks are looked at, so its writer
-- either still holds its lock or has ended and is visible to every later statement. A statement that reads
-- rows must therefore start after this function has returned (TAIL: 107 of 11,319 rows were skipped else).
CREATE FUNCTION tidemark.frontier(OUT head bigint, OUT safe bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the journal''s tail can only be read in READ COMMITTED: one snapshot for all its statements would skip changes'
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  head := coalesce(pg_sequence_last_value('tidemark.tid'::regclass), 0);
  SELECT least(head, min(((l.classid::bigint & 65535) << 32) | l.objid::bigint)) INTO safe
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.classid::bigint >> 16 = 29796
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
END $$;

CREATE FUNCTION tidemark.safe_tid() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS 'SELECT safe FROM tidemark.frontier()';

REVOKE EXECUTE ON FUNCTION tidemark.draw_tid(), tidemark.frontier(), tidemark.safe_tid() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tidemark.frontier(), tidemark.safe_tid() TO tidemark_app;

-- What all journal rows of one trigger call have in common. No row comes back when nothing changed, and no
-- tid is drawn then.
--
-- The actor is the transaction-local setting tidemark.actor, a JSON object: author, ipnr, authenticated,
-- origin, comment, meta, and two names a ModelTransaction gives itself: flush (this statement) and transaction.
-- time and meta.effects = false are for the importer and the owner alone.
--
-- Trigger calls share one tid only if they belong to one client statement of one named flush: the flush's name
-- and statement_timestamp() are equal, the operation is not one that a foreign key's action can perform on
-- that table (may_share, worked out from pg_constraint), and no trigger stands in between. Everything else draws its
-- own: a tid drawn for one row and used for another that was locked later puts tid order and commit order
-- apart (4,776 of 50,486 changes of hot rows, 0 otherwise).
--
-- tidemark.drawn carries that from one call to the next. It is signed, as any session can set it.
CREATE FUNCTION tidemark.stamp(may_share boolean, changed bigint) RETURNS TABLE (
  tid bigint, txn bigint, "time" timestamptz, author text, ipnr inet, authenticated boolean, origin uuid,
  db_role text, comment text, meta jsonb
) LANGUAGE plpgsql ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  actor jsonb := nullif(current_setting('tidemark.actor', true), '')::jsonb;
  drawn jsonb;
  setting text;
  secret bytea;
  mark text;
BEGIN
  IF changed = 0 THEN RETURN; END IF;
  IF jsonb_typeof(actor) IS DISTINCT FROM 'object' THEN actor := '{}'; END IF;
  db_role := coalesce(nullif(current_setting('role'), 'none'), session_user);

  IF (actor ? 'time' OR actor #> '{meta,effects}' = 'false')
    AND NOT pg_has_role(db_role, 'tidemark_importer', 'USAGE') AND NOT pg_has_role(db_role, current_user, 'USAGE') THEN
    RAISE EXCEPTION 'only the importer and the owner may set the time of a change or mute its effects, not %', db_role
      USING ERRCODE = 'insufficient_privilege';
  END IF;

  SELECT e.signing_key INTO secret FROM tidemark.epoch e;
  setting := current_setting('tidemark.drawn', true);
  IF setting <> '' AND left(setting, 64) = encode(sha256(secret || convert_to(substr(setting, 65), 'UTF8')), 'hex') THEN
    drawn := substr(setting, 65)::jsonb;
    -- signed in another transaction of this session, and put back by hand
    IF (drawn ->> 'xact') IS DISTINCT FROM transaction_timestamp()::text || pg_backend_pid() THEN drawn := NULL; END IF;
  END IF;

  IF may_share AND actor ? 'flush' AND pg_trigger_depth() = 1 THEN
    mark := (actor ->> 'flush') || '@' || statement_timestamp();
  END IF;
  IF mark = drawn ->> 'mark' THEN
    tid := drawn -> 'tid';
    time := (drawn ->> 'time')::timestamptz;
  ELSE
    tid := tidemark.draw_tid();
    time := coalesce((actor ->> 'time')::timestamptz, clock_timestamp());
  END IF;
  IF drawn ->> 'transaction' IS NOT DISTINCT FROM actor ->> 'transaction' THEN txn := drawn -> 'txn'; END IF;
  txn := coalesce(txn, tid);

  setting := jsonb_build_object(
    'xact', transaction_timestamp()::text || pg_backend_pid(), 'mark', mark, 'tid', tid, 'time', time,
    'transaction', actor ->> 'transaction', 'txn', txn, 'changes', changed + coalesce((drawn -> 'changes')::bigint, 0));
  PERFORM set_config('tidemark.drawn', encode(sha256(secret || convert_to(setting, 'UTF8')), 'hex') || setting, true);

  author := coalesce(actor ->> 'author', db_role);
  ipnr := (actor ->> 'ipnr')::inet;
  authenticated := (actor ->> 'authenticated')::boolean;
  origin := (actor ->> 'origin')::uuid;
  comment := actor ->> 'comment';
  meta := actor -> 'meta';
  RETURN NEXT;
END $$;
REVOKE EXECUTE ON FUNCTION tidemark.stamp(boolean, bigint) FROM PUBLIC;

-- The highest tid that this transaction has drawn so far and the number of its journaled changes; both null
-- when it has changed nothing.
CREATE FUNCTION tidemark.drawn(OUT tid bigint, OUT changes bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (d ->> 'tid')::bigint, (d ->> 'changes')::bigint
    FROM (SELECT substr(nullif(current_setting('tidemark.drawn', true), ''), 65)::jsonb) AS s(d)
$$;

-- A flush expects each of its saves and deletes to meet its row. Raising inside the statement undoes all of it.
CREATE FUNCTION tidemark.expect(found bigint, what text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF found = 1 THEN RETURN true; END IF;
  RAISE EXCEPTION '%', what USING ERRCODE = 'TM001';
END $$;

-- ---------------------------------------------------------------------------------------------------------
-- The generator: one trigger function per journaled table, its columns compared statically
-- ---------------------------------------------------------------------------------------------------------

-- What a column needs to be journaled. image: its equality does not mean identity, so it is compared by its
-- binary image. written, read: SQL from a column reference to its history value and back, as format() patterns.
CREATE FUNCTION tidemark.journaled_columns(rel regclass) RETURNS TABLE (
  name text, type text, image boolean, written text, read text
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE base AS (
    SELECT a.attnum, a.attname, a.attcollation, format_type(a.atttypid, a.atttypmod) AS type, a.atttypid AS typid
      FROM pg_attribute a
      WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    UNION ALL
    SELECT b.attnum, b.attname, b.attcollation, b.type, t.typbasetype
      FROM base b JOIN pg_type t ON t.oid = b.typid WHERE t.typtype = 'd'
  ), typed AS (
    SELECT b.attnum, b.attname, b.type, b.attcollation, t.oid, t.typtype, t.typcategory = 'A' AND t.typelem <> 0 AS is_array,
      coalesce(e.oid, t.oid) AS element, coalesce(e.typtype, t.typtype) AS element_kind
      FROM base b JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
      LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  ), judged AS (
    SELECT t.*,
      -- to_jsonb keeps every value of these exactly (floats: but for -0)
      t.element_kind = 'e' OR t.element = ANY (ARRAY['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'text',
        'varchar', 'bpchar', 'name', 'timestamp', 'timestamptz', 'date', 'time', 'timetz', 'bytea', 'uuid', 'jsonb',
        'inet', 'cidr']::regtype[]) AS survives,
      t.element = ANY (ARRAY['float4', 'float8']::regtype[]) AS is_float
      FROM typed t
  )
  SELECT attname, type,
    NOT (typtype = 'e' OR oid = ANY (ARRAY['bool', 'int2', 'int4', 'int8', 'text', 'varchar', 'uuid', 'date', 'timestamp',
        'timestamptz', 'bytea']::regtype[]))
      OR coalesce((SELECT NOT c.collisdeterministic FROM pg_collation c WHERE c.oid = attcollation), false),
    CASE
      WHEN NOT survives THEN 'to_jsonb(%s::text)'
      WHEN is_array AND is_float THEN 'CASE WHEN %1$s::text ~ ''^\[|-0[,}]'' THEN to_jsonb(%1$s::text) ELSE to_jsonb(%1$s) END'
      -- a JSON array would lose lower bounds other than 1
      WHEN is_array THEN 'CASE WHEN %1$s::text LIKE ''[%%'' THEN to_jsonb(%1$s::text) ELSE to_jsonb(%1$s) END'
      WHEN is_float THEN 'CASE WHEN %1$s::text = ''-0'' THEN to_jsonb(%1$s::text) ELSE to_jsonb(%1$s) END'
      ELSE 'to_jsonb(%s)'
    END,
    CASE
      WHEN oid = 'jsonb'::regtype THEN '%1$s'
      WHEN survives AND is_array THEN 'CASE jsonb_typeof(%1$s) WHEN ''array'' THEN (jsonb_populate_record(NULL::'
        || replace(rel::text, '%', '%%') || ', jsonb_build_object(' || replace(quote_literal(attname), '%', '%%') || ', %1$s))).'
        || replace(quote_ident(attname), '%', '%%') || ' ELSE (%1$s #>> ''{}'')::' || replace(type, '%', '%%') || ' END'
      ELSE '(%1$s #>> ''{}'')::' || replace(type, '%', '%%')
    END
    FROM judged ORDER BY attnum
$$;

-- SQL for the id of a row under an alias: the key as text, a composite one as the JSON array of its values.
CREATE FUNCTION tidemark.id_expression(rel regclass, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE count(*)
      WHEN 1 THEN format('%s.%I::text COLLATE "C"', alias, min(a.attname))
      ELSE format('(''['' || %s || '']'') COLLATE "C"',
        string_agg(format('to_jsonb(%s.%I)::text', alias, a.attname), ' || '','' || ' ORDER BY k.ord))
    END
    FROM pg_index i CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, ord)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = rel AND i.indisprimary
$$;

CREATE FUNCTION tidemark.journal_name(rel regclass, suffix text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%I.%I', n.nspname, r.relation_name || suffix)
    FROM tidemark.resources r JOIN pg_class c ON c.oid = r.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.relation = rel
$$;

-- The body of a table's trigger function. The same statement serves the three operations:
--   old and new rows are joined by FULL JOIN, which cannot be planned as a nested loop: the plan is cached from
--   one-row updates, and an inner join then made 20,000 rows take 25 s instead of 0.3;
--   each old image is compared with the live row, because transition rows are not the final rows (two cascades
--   on one row, a row trigger that writes again, DELETE … RETURNING into INSERT). All these rows are locked by us;
--   LIMIT keeps the look-up of the live row an index look-up per row, whatever the table's size was when the plan was made.
-- Names of a user's columns only ever appear behind an alias, so they cannot clash with anything here.
CREATE FUNCTION tidemark.trigger_body(rel regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $generator$
DECLARE
  resource text := (SELECT r.resource FROM tidemark.resources r WHERE r.relation = rel);
  versioned boolean := (SELECT r.versioned FROM tidemark.resources r WHERE r.relation = rel);
  key_columns text[] := (SELECT array_agg(a.attname ORDER BY k.ord)
    FROM pg_index i CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, ord)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = rel AND i.indisprimary);
  present text := quote_ident(key_columns[1]) || ' IS NOT NULL';
  live text;
  fields_created text;
  fields_changed text;
  shares_update boolean;
  shares_delete boolean;
  write text;
BEGIN
  SELECT string_agg(format('(%L, %s, l.%I IS NOT NULL)', c.name, format(c.written, 'l.' || quote_ident(c.name)), c.name),
      E',\n          '),
    string_agg(format('(%L, CASE WHEN %s THEN %s END, %2$s)', c.name,
      format(CASE WHEN c.image THEN '(row(l.%1$I)::record OPERATOR(pg_catalog.*<>) row(o.%1$I)::record)'
        ELSE 'l.%1$I IS DISTINCT FROM o.%1$I' END, c.name),
      format(c.written, 'l.' || quote_ident(c.name))), E',\n          ')
    INTO fields_created, fields_changed
    FROM tidemark.journaled_columns(rel) c WHERE NOT (versioned AND c.name = 'row_version');

  SELECT coalesce(bool_and(c.confdeltype NOT IN ('n', 'd') AND c.confupdtype NOT IN ('c', 'n', 'd')), true),
    coalesce(bool_and(c.confdeltype <> 'c'), true)
    INTO shares_update, shares_delete
    FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = rel;

  live := format('(SELECT l.* FROM ONLY %s l WHERE %%s AND %s = %%s LIMIT 1) l',
    rel, tidemark.id_expression(rel, 'l'));

  write := format($sql$
    ), t AS MATERIALIZED (
      SELECT s.* FROM tidemark.stamp(%%s, (SELECT count(DISTINCT d.id) FROM d)) s
    ), j AS (
      INSERT INTO %s (resource, tid, id, change, time, author, ipnr, authenticated, origin, db_role, txn, row_version, comment, meta)
        SELECT DISTINCT ON (d.id) %L, t.tid, d.id, d.change, t.time, t.author, t.ipnr, t.authenticated, t.origin, t.db_role,
          t.txn, d.row_version, t.comment, t.meta
          FROM d CROSS JOIN t
    )
    INSERT INTO %s (resource, tid, id, field, value)
      SELECT %2$L, t.tid, d.id, d.field, d.value FROM d CROSS JOIN t WHERE d.field IS NOT NULL;$sql$,
    tidemark.journal_name(rel, '_journal'), resource, tidemark.journal_name(rel, '_history'));

  RETURN format($body$
#variable_conflict use_column
BEGIN
  IF tg_op = 'INSERT' THEN
    WITH d AS MATERIALIZED (
      SELECT DISTINCT ON (i.id, f.field) i.id, 'CREATE' AS change, %1$s AS row_version, f.field, f.value
        FROM new_rows n
        CROSS JOIN LATERAL (SELECT %2$s) i(id)
        CROSS JOIN LATERAL %3$s
        CROSS JOIN LATERAL (VALUES
          %4$s
        ) f(field, value, changed)
        WHERE f.changed%5$s
  ELSIF tg_op = 'UPDATE' THEN
    WITH d AS MATERIALIZED (
      SELECT DISTINCT ON (i.id, f.field) i.id,
          CASE WHEN l.%6$s THEN CASE WHEN o.%6$s THEN 'MODIFY' ELSE 'CREATE' END ELSE 'DELETE' END AS change,
          %1$s AS row_version, f.field, f.value
        FROM old_rows o
        FULL JOIN new_rows n ON %2$s = %7$s
        CROSS JOIN LATERAL (SELECT coalesce(%2$s, %7$s)) i(id)
        LEFT JOIN LATERAL %8$s ON true
        LEFT JOIN LATERAL (VALUES
          %9$s
        ) f(field, value, changed) ON f.changed AND l.%6$s
        WHERE f.changed OR (l.%6$s) IS NOT TRUE AND (n.%6$s) IS NOT TRUE%10$s
  ELSE
    WITH d AS MATERIALIZED (
      SELECT DISTINCT ON (i.id) i.id, 'DELETE' AS change, NULL::bigint AS row_version, NULL::text AS field, NULL::jsonb AS value
        FROM old_rows o
        CROSS JOIN LATERAL (SELECT %7$s) i(id)
        LEFT JOIN LATERAL %11$s ON true
        WHERE (l.%6$s) IS NOT TRUE%12$s
  END IF;
  RETURN NULL;
END
$body$,
    CASE WHEN versioned THEN 'l.row_version' ELSE 'NULL::bigint' END,                                    -- 1
    tidemark.id_expression(rel, 'n'),                                                                    -- 2
    format(live, (SELECT string_agg(format('l.%1$I = n.%1$I', k), ' AND ') FROM unnest(key_columns) k), 'i.id'),  -- 3
    fields_created,                                                                                      -- 4
    format(write, 'true'),                                                                               -- 5
    present,                                                                                             -- 6
    tidemark.id_expression(rel, 'o'),                                                                    -- 7
    format(live, (SELECT string_agg(format('l.%1$I = coalesce(n.%1$I, o.%1$I)', k), ' AND ') FROM unnest(key_columns) k), 'i.id'),  -- 8
    fields_changed,                                                                                      -- 9
    format(write, shares_update::text),                                                                        -- 10
    format(live, (SELECT string_agg(format('l.%1$I = o.%1$I', k), ' AND ') FROM unnest(key_columns) k), 'i.id'),  -- 11
    format(write, shares_delete::text)                                                                         -- 12
  );
END $generator$;

-- The body of the function that counts a row's versions, whoever writes it: up by one only when the row really
-- changes, compared by image over what is stored (a generated column is not yet computed in a BEFORE trigger).
CREATE FUNCTION tidemark.version_body(rel regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format($body$
BEGIN
  IF tg_op = 'INSERT' THEN
    new.row_version := 1;
  ELSIF row(%s)::record OPERATOR(pg_catalog.*<>) row(%s)::record THEN
    new.row_version := old.row_version + 1;
  ELSE
    new.row_version := old.row_version;
  END IF;
  RETURN new;
END
$body$, string_agg(format('new.%I', c.name), ', '), string_agg(format('old.%I', c.name), ', '))
    FROM tidemark.journaled_columns(rel) c WHERE c.name <> 'row_version'
$$;

CREATE FUNCTION tidemark.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of the journaled table % is refused', tg_relid::regclass
    USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Use DELETE, which is journaled.';
END $$;

-- The last value of every field of every row that exists as of a tid (null: now), worked out from the journal alone.
-- A row begins at its last CREATE; a field that is absent is NULL.
CREATE FUNCTION tidemark.fold(resource_name text, upto bigint DEFAULT NULL) RETURNS TABLE (id text, field text, value jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH born AS (
    SELECT DISTINCT ON (j.id) j.id, j.tid, j.change FROM tidemark.journal j
      WHERE j.resource = resource_name AND j.change IN ('CREATE', 'DELETE') AND (upto IS NULL OR j.tid <= upto)
      ORDER BY j.id, j.tid DESC
  )
  SELECT b.id, f.field, f.value
    FROM born b LEFT JOIN (
      SELECT DISTINCT ON (h.id, h.field) h.id, h.field, h.value
        FROM tidemark.history h JOIN born b ON b.id = h.id AND h.tid >= b.tid AND b.change = 'CREATE'
        WHERE h.resource = resource_name AND (upto IS NULL OR h.tid <= upto)
        ORDER BY h.id, h.field, h.tid DESC
    ) f ON f.id = b.id AND f.value IS NOT NULL
    WHERE b.change = 'CREATE'
$$;

-- Where the model table and the fold of its journal differ: field null = the row is on one side only.
CREATE FUNCTION tidemark.drift(resource_name text) RETURNS TABLE (id text, field text, folded jsonb, actual jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' AS $$
DECLARE
  rel regclass := (SELECT r.relation FROM tidemark.resources r WHERE r.resource = resource_name);
  fields text;
BEGIN
  IF rel IS NULL THEN RAISE EXCEPTION 'no resource "%" is journaled', resource_name USING ERRCODE = 'undefined_object'; END IF;
  SELECT string_agg(format('(%L, %s)', c.name, format(c.written, 'l.' || quote_ident(c.name))), ', ') INTO fields
    FROM tidemark.journaled_columns(rel) c, tidemark.resources r
    WHERE r.relation = rel AND NOT (r.versioned AND c.name = 'row_version');
  RETURN QUERY EXECUTE format($sql$
    WITH fold AS MATERIALIZED (SELECT f.id, f.field, f.value FROM tidemark.fold(%L) f),
    live AS MATERIALIZED (
      SELECT %s AS id, v.field, v.value FROM ONLY %s l CROSS JOIN LATERAL (VALUES %s) v(field, value)
    ), folded_ids AS (SELECT DISTINCT f.id FROM fold f), live_ids AS (SELECT DISTINCT l.id FROM live l)
    SELECT coalesce(f.id, l.id), NULL::text, CASE WHEN f.id IS NOT NULL THEN to_jsonb(true) END,
        CASE WHEN l.id IS NOT NULL THEN to_jsonb(true) END
      FROM folded_ids f FULL JOIN live_ids l ON l.id = f.id WHERE f.id IS NULL OR l.id IS NULL
    UNION ALL
    SELECT coalesce(f.id, l.id), coalesce(f.field, l.field), f.value, l.value
      FROM (SELECT f.id, f.field, f.value FROM fold f WHERE f.field IS NOT NULL) f
      FULL JOIN (SELECT l.id, l.field, l.value FROM live l WHERE l.value IS NOT NULL) l
        ON l.id = f.id AND l.field = f.field
      WHERE f.value::text IS DISTINCT FROM l.value::text
        AND EXISTS (SELECT FROM folded_ids i WHERE i.id = coalesce(f.id, l.id))
        AND EXISTS (SELECT FROM live_ids i WHERE i.id = coalesce(f.id, l.id))
    $sql$, resource_name, tidemark.id_expression(rel, 'l'), rel, fields);
END $$;

-- Says why a table cannot be journaled, or nothing.
CREATE FUNCTION tidemark.journal_refusal(rel regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN c.relkind = 'p' THEN 'it is partitioned: a direct write to a partition would escape'
    WHEN c.relispartition THEN 'it is a partition'
    WHEN c.relkind <> 'r' THEN 'it is not an ordinary table'
    WHEN n.nspname IN ('tidemark', 'pg_catalog', 'information_schema')
      OR EXISTS (SELECT FROM tidemark.resources r WHERE c.oid IN (to_regclass(tidemark.journal_name(r.relation, '_journal')),
        to_regclass(tidemark.journal_name(r.relation, '_history')))) THEN 'it belongs to the journal or the system'
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

-- Journals a table from now on: creates <table>_journal, <table>_history and the triggers. Call it in the migration
-- that creates the table, and again after any DDL on it; called twice it changes nothing. Locks the table against writes
-- until the transaction ends.
--   resource      the name in the journal; the table's name if not given
--   row_version   adds the column row_version bigint, counted by a trigger, for optimistic concurrency
--   field_index   adds an index (id, field, tid) on the history, for rows that change thousands of times
-- Rows that exist are journaled as CREATE with the comment 'baseline'; values that DDL has changed since the last call
-- as one MODIFY with the comment 'schema'.
CREATE FUNCTION tidemark.journal_table(rel regclass, resource text DEFAULT NULL, row_version boolean DEFAULT NULL,
  field_index boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET row_security = off AS $$
DECLARE
  refusal text := tidemark.journal_refusal(rel);
  known tidemark.resources := (SELECT r FROM tidemark.resources r WHERE r.relation = rel);
  name text := coalesce(known.resource, journal_table.resource, (SELECT c.relname FROM pg_class c WHERE c.oid = rel));
  is_versioned boolean := coalesce(journal_table.row_version, known.versioned, false);
  now_columns jsonb;
  journal text;
  history text;
  trigger_function text := format('tidemark.%I', 'journal_' || name);
  version_function text := format('tidemark.%I', 'version_' || name);
  pinned text := 'SET search_path = pg_catalog, pg_temp SET row_security = off SET timezone = ''UTC'' SET datestyle = ''ISO, YMD'' '
    'SET intervalstyle = ''postgres'' SET extra_float_digits = 1 SET bytea_output = ''hex'' SET enable_seqscan = off SET jit = off';
  operation text;
BEGIN
  IF refusal IS NOT NULL THEN
    RAISE EXCEPTION '% cannot be journaled: %', rel, refusal USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF octet_length(name) > 55 OR name = '' THEN
    RAISE EXCEPTION 'the resource name "%" must have 1 to 55 bytes', name USING ERRCODE = 'name_too_long';
  END IF;
  IF EXISTS (SELECT FROM tidemark.resources r WHERE r.resource = name AND r.relation <> rel) THEN
    RAISE EXCEPTION 'the resource name "%" is taken by another table: give journal_table() one', name
      USING ERRCODE = 'duplicate_object';
  END IF;
  IF known.resource <> journal_table.resource THEN
    RAISE EXCEPTION '% is journaled as "%", which cannot become "%"', rel, known.resource, journal_table.resource
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', rel);

  IF is_versioned AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = rel AND a.attname = 'row_version' AND NOT a.attisdropped) THEN
    EXECUTE format('ALTER TABLE %s ADD COLUMN row_version bigint NOT NULL DEFAULT 1', rel);
  END IF;
  SELECT jsonb_object_agg(c.name, c.type) INTO now_columns FROM tidemark.journaled_columns(rel) c;

  INSERT INTO tidemark.resources AS r (resource, relation, relation_name, columns, versioned)
    VALUES (name, rel, (SELECT c.relname FROM pg_class c WHERE c.oid = rel), now_columns, is_versioned)
    ON CONFLICT (relation) DO UPDATE SET columns = excluded.columns, versioned = excluded.versioned;
  journal := tidemark.journal_name(rel, '_journal');
  history := tidemark.journal_name(rel, '_history');

  IF to_regclass(journal) IS NULL THEN
    EXECUTE format('CREATE TABLE %s PARTITION OF tidemark.journal (PRIMARY KEY (tid, id)) FOR VALUES IN (%L)', journal, name);
    EXECUTE format('CREATE INDEX ON %s (id, tid)', journal);
    EXECUTE format('CREATE TABLE %s PARTITION OF tidemark.history (PRIMARY KEY (tid, id, field)) FOR VALUES IN (%L)', history, name);
    EXECUTE format('GRANT SELECT ON %s, %s TO tidemark_app', journal, history);
  END IF;
  IF field_index THEN
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (id, field, tid)', parse_ident(history)::text[] [2] || '_field_idx', history);
  END IF;

  EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER %s AS %L',
    trigger_function, pinned, tidemark.trigger_body(rel));
  -- or any role could put it on a table of its own and forge a journal row
  EXECUTE format('REVOKE EXECUTE ON FUNCTION %s() FROM PUBLIC', trigger_function);
  FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT EXECUTE FUNCTION %s()',
      'tidemark_' || operation, operation, rel,
      CASE operation WHEN 'insert' THEN 'NEW TABLE AS new_rows' WHEN 'delete' THEN 'OLD TABLE AS old_rows'
        ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END,
      trigger_function);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', rel, 'tidemark_' || operation);
  END LOOP;
  EXECUTE format('CREATE OR REPLACE TRIGGER tidemark_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION tidemark.refuse_truncate()', rel);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER tidemark_truncate', rel);
  IF is_versioned THEN
    EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS %L',
      version_function, tidemark.version_body(rel));
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s() FROM PUBLIC', version_function);
    -- row triggers fire in the order of their names: this one is to see what the others have made of the row
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_tidemark_version BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s()', rel, version_function);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER zz_tidemark_version', rel);
  END IF;

  IF known.resource IS NULL THEN
    PERFORM tidemark.journal_difference(rel, 'baseline', NULL);
  ELSE
    PERFORM tidemark.journal_difference(rel, 'schema', ARRAY(
      SELECT coalesce(o.key, n.key) FROM jsonb_each(known.columns) o FULL JOIN jsonb_each(now_columns) n ON n.key = o.key
        WHERE o.value IS DISTINCT FROM n.value));
  END IF;
END $$;

-- Journals where model table and journal differ: whole rows that the journal does not have as CREATE, and the given
-- fields as MODIFY. The caller has locked the table against writes.
CREATE FUNCTION tidemark.journal_difference(rel regclass, why text, fields text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' AS $$
DECLARE
  known tidemark.resources := (SELECT r FROM tidemark.resources r WHERE r.relation = rel);
  values_written text;
BEGIN
  IF fields = '{}' THEN RETURN; END IF;
  SELECT string_agg(format('(%L, %s)', c.name, format(c.written, 'l.' || quote_ident(c.name))), ', ') INTO values_written
    FROM tidemark.journaled_columns(rel) c
    WHERE (fields IS NULL OR c.name = ANY (fields)) AND NOT (known.versioned AND c.name = 'row_version');
  EXECUTE format($sql$
    WITH live AS MATERIALIZED (
      SELECT %1$s AS id, %2$s AS row_version, v.field, v.value
        FROM ONLY %3$s l LEFT JOIN LATERAL (VALUES %4$s) v(field, value) ON true
    ), fold AS MATERIALIZED (
      SELECT f.id, f.field, f.value FROM tidemark.fold(%5$L) f WHERE $1 IS NOT NULL AND f.field = ANY ($1)
    ), d AS MATERIALIZED (
      SELECT i.id, i.row_version, coalesce(f.field, l.field) AS field, l.value
        FROM fold f FULL JOIN (SELECT l.id, l.field, l.value FROM live l WHERE l.value IS NOT NULL) l ON l.id = f.id AND l.field = f.field
        JOIN (SELECT DISTINCT l.id, l.row_version FROM live l) i ON i.id = coalesce(f.id, l.id)
        WHERE f.value::text IS DISTINCT FROM l.value::text
    ), t AS MATERIALIZED (
      SELECT s.* FROM tidemark.stamp(false, (SELECT count(DISTINCT d.id) FROM d)) s
    ), j AS (
      INSERT INTO %6$s (resource, tid, id, change, time, author, ipnr, authenticated, origin, db_role, txn, row_version, comment, meta)
        SELECT DISTINCT ON (d.id) %5$L, t.tid, d.id, CASE WHEN $1 IS NULL THEN 'CREATE' ELSE 'MODIFY' END, t.time, t.author, t.ipnr,
          t.authenticated, t.origin, t.db_role, t.txn, d.row_version, $2, t.meta
          FROM d CROSS JOIN t
    )
    INSERT INTO %7$s (resource, tid, id, field, value) SELECT %5$L, t.tid, d.id, d.field, d.value FROM d CROSS JOIN t$sql$,
    tidemark.id_expression(rel, 'l'), CASE WHEN known.versioned THEN 'l.row_version' ELSE 'NULL::bigint' END, rel,
    coalesce(values_written, '(NULL::text, NULL::jsonb)'), known.resource,
    tidemark.journal_name(rel, '_journal'), tidemark.journal_name(rel, '_history'))
    USING fields, why;
END $$;

-- What start-up and doctor look at: journaled tables whose triggers are not what journal_table() would make of them now
-- (columns, keys or foreign keys were changed and it was not called again), or are missing or switched off.
CREATE FUNCTION tidemark.table_problems() RETURNS TABLE (resource text, relation text, problem text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.resource, coalesce(r.relation::regclass::text, r.relation_name), p.problem
    FROM tidemark.resources r
    LEFT JOIN pg_class c ON c.oid = r.relation
    CROSS JOIN LATERAL (
      SELECT 'the table is gone' AS problem WHERE c.oid IS NULL
      UNION ALL
      SELECT 'it can no longer be journaled: ' || tidemark.journal_refusal(c.oid) WHERE tidemark.journal_refusal(c.oid) IS NOT NULL
      UNION ALL
      SELECT 'it was changed and tidemark.journal_table() was not called again'
        WHERE tidemark.journal_refusal(c.oid) IS NULL
          AND (SELECT f.prosrc FROM pg_proc f WHERE f.pronamespace = 'tidemark'::regnamespace AND f.proname = 'journal_' || r.resource)
            IS DISTINCT FROM tidemark.trigger_body(c.oid)
      UNION ALL
      SELECT format('trigger %s is %s', e.name, coalesce('not ENABLE ALWAYS', 'missing'))
        FROM unnest(ARRAY['tidemark_insert', 'tidemark_update', 'tidemark_delete', 'tidemark_truncate']
          || CASE WHEN r.versioned THEN ARRAY['zz_tidemark_version'] ELSE '{}' END) e(name)
        LEFT JOIN pg_trigger g ON g.tgrelid = c.oid AND g.tgname = e.name
        WHERE c.oid IS NOT NULL AND (g.oid IS NULL OR g.tgenabled <> 'A')
    ) p
$$;

DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION tidemark.frontier(), tidemark.safe_tid(), tidemark.drawn(), tidemark.expect(bigint, text),
  tidemark.journaled_columns(regclass), tidemark.id_expression(regclass, text), tidemark.journal_name(regclass, text),
  tidemark.fold(text, bigint), tidemark.drift(text), tidemark.journal_refusal(regclass), tidemark.trigger_body(regclass),
  tidemark.table_problems() TO tidemark_app;

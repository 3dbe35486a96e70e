-- The journal: every change of a model table is written here by its triggers, in the same transaction.
-- docs/architecture.md draws the write path and the tail; docs/guarantees.md names the test of each promise.

-- ---------------------------------------------------------------------------------------------------------
-- Roles. They belong to the cluster, so several Tidemark databases in one cluster share them; the rights they
-- are given below belong to this database alone.
-- ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
  app_role text;
  -- from 16 on, whoever creates a role is made a member that may grant it, but may not work as it
  working_as text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
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
    IF NOT pg_has_role(current_user, app_role, working_as) THEN
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

-- One row: the name of this database in the cursors that are given to the outside.
CREATE TABLE tidemark.epoch (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  epoch text NOT NULL DEFAULT substr(md5(gen_random_uuid()::text), 1, 8),
  created timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tidemark.epoch DEFAULT VALUES;

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

-- What journal_table() was last told and saw: the shape, to find out which values later DDL has changed.
CREATE TABLE tidemark.resources (
  resource text COLLATE "C" PRIMARY KEY,
  relation regclass NOT NULL UNIQUE,
  relation_name text NOT NULL,
  journal regclass NOT NULL,
  history regclass NOT NULL,
  shape jsonb NOT NULL,
  versioned boolean NOT NULL
);

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

-- ---------------------------------------------------------------------------------------------------------
-- Drawing a tid, and what is safe to read
-- ---------------------------------------------------------------------------------------------------------

-- Draws the next tid. First it declares the writer: a shared advisory transaction lock whose key holds the
-- position of the sequence before the draw (29796 = 'td' in the high 16 bits names the lock's purpose). No
-- tid above the lowest key so held is safe to read. The setting only saves locks; it is never trusted,
-- because any session can write it: the key is the lower of setting and position.
CREATE FUNCTION tidemark.draw_tid() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  issued bigint := pg_sequence_last_value('tidemark.tid'::regclass);
  setting text := current_setting('tidemark.floor', true);
  guard bigint := issued;
BEGIN
  IF setting <> '' AND setting::bigint BETWEEN 0 AND issued THEN
    guard := setting;
  ELSE
    setting := set_config('tidemark.floor', issued::text, true);
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

-- What all journal rows of one trigger call have in common; tid is null when nothing changed, and none is drawn then.
--
-- The actor is the transaction-local setting tidemark.actor, a JSON object: author, ipnr, authenticated, origin, comment,
-- meta, and two names that a ModelTransaction gives itself: flush (this statement) and transaction. time and
-- meta.effects = false are for the importer and the owner alone.
--
-- Trigger calls share one tid only if they belong to one client statement of one named flush: the flush's name
-- and statement_timestamp() are equal, the operation is not one that a foreign key's action can perform on
-- that table (may_share, worked out from pg_constraint), and no trigger stands in between. Everything else draws its
-- own: a tid drawn for one row and used for another that was locked later puts tid order and commit order
-- apart (4,776 of 50,486 changes of hot rows, 0 otherwise).
--
-- tidemark.drawn carries the last tid, its txn, the number of changes, the names ('alone': a tid that is not to be shared) and
-- the resource from one call to the next. Any session can set it, so it is a claim: the journal must show a row of that
-- resource and tid whose writer has not ended, that is, which this transaction wrote. It then has the true txn, and its time
-- says whether the tid was drawn in this client statement (the importer, who sets times, is believed the statement). The
-- usual flush is one trigger call, which finds nothing there and has nothing to check. Naming the resource keeps the
-- look-up to one partition: over twenty it took a millisecond.
--
-- It runs with the rights and settings of the trigger function that calls it. Few and plain expressions: plpgsql
-- prepares each anew in every transaction. With forty of them, and a signature instead of the look-up, a one-row change took a
-- quarter longer.
CREATE FUNCTION tidemark.stamp(may_share boolean, changed bigint, resource_name text, OUT tid bigint, OUT txn bigint, OUT "time" timestamptz,
  OUT author text, OUT ipnr inet, OUT authenticated boolean, OUT origin uuid, OUT db_role text, OUT comment text, OUT meta jsonb,
  OUT told text)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  drawn text[];
  asked timestamptz;
  flush text;
  statement text;
  transaction text;
BEGIN
  IF changed = 0 THEN RETURN; END IF;
  SELECT r.name, coalesce(a ->> 'author', r.name), (a ->> 'ipnr')::inet, (a ->> 'authenticated')::boolean, (a ->> 'origin')::uuid,
      a ->> 'comment', nullif(a -> 'meta', 'null'), (a ->> 'time')::timestamptz, a ->> 'flush',
      CASE WHEN may_share AND a ? 'flush' AND pg_trigger_depth() = 1
        THEN hashtextextended(concat(a ->> 'flush', '@', statement_timestamp()), 0)::text ELSE 'alone' END,
      hashtextextended(concat(a ->> 'transaction'), 0)::text,
      string_to_array(current_setting('tidemark.drawn', true), ' ')
    FROM (SELECT nullif(current_setting('tidemark.actor', true), '')::jsonb OFFSET 0) s(a),
      (SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)) r(name)
    INTO db_role, author, ipnr, authenticated, origin, comment, meta, asked, flush, statement, transaction, drawn;

  IF asked IS NOT NULL OR meta -> 'effects' = 'false' THEN
    IF NOT pg_has_role(db_role, 'tidemark_importer', 'USAGE') AND NOT pg_has_role(db_role, current_user, 'USAGE') THEN
      RAISE EXCEPTION 'only the importer and the owner may set the time of a change or mute its effects, not %', db_role
        USING ERRCODE = 'insufficient_privilege';
    END IF;
  END IF;

  IF statement = drawn[4] AND statement <> 'alone' OR transaction = drawn[5] THEN
    SELECT j.time, j.txn INTO time, txn FROM tidemark.journal j
      WHERE j.resource = array_to_string(drawn[6:], ' ') AND j.tid = drawn[1]::bigint
        AND pg_xact_status((pg_current_xact_id()::text::bigint - age(j.xmin))::text::xid8) = 'in progress' LIMIT 1;
    IF statement = drawn[4] AND statement <> 'alone' AND (time >= statement_timestamp() OR time = asked) THEN
      tid := drawn[1];
    END IF;
    IF transaction <> drawn[5] THEN txn := NULL; END IF;
  END IF;

  IF tid IS NULL THEN
    tid := tidemark.draw_tid();
    time := coalesce(asked, clock_timestamp());
  END IF;
  IF txn IS NULL THEN txn := tid; END IF;
  told := set_config('tidemark.drawn', concat_ws(' ', tid, txn,
    changed + CASE WHEN drawn[3] ~ '^[0-9]{1,17}$' THEN drawn[3]::bigint ELSE 0 END, statement, transaction, resource_name), true);
  told := CASE WHEN flush IS NOT NULL THEN concat('tidemark ', tid, ' ', changed, ' ', flush) END;
END $$;

-- The highest tid that this transaction has drawn so far and the number of its journaled changes; both null
-- when it has changed nothing.
CREATE FUNCTION tidemark.drawn(OUT tid bigint, OUT changes bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT d[1]::bigint, d[3]::bigint
    FROM (SELECT string_to_array(nullif(current_setting('tidemark.drawn', true), ''), ' ')) AS s(d)
$$;

-- A flush expects each of its saves and deletes to meet its row. Raising inside the statement undoes all of it.
CREATE FUNCTION tidemark.expect(matched bigint, what text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF matched = 1 THEN RETURN true; END IF;
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
    SELECT b.attnum, b.attname, b.type, b.attcollation, t.oid, t.typtype, e.oid IS NOT NULL AS is_array,
      coalesce(e.oid, t.oid) AS element, coalesce(e.typtype, t.typtype) AS element_kind
      FROM base b JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
      -- int2vector and its like have elements, and are no arrays
      LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
  ), judged AS (
    SELECT t.*,
      -- to_jsonb keeps every value of these exactly (floats: but for -0)
      t.element_kind = 'e' OR t.element = ANY (ARRAY['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'text',
        'varchar', 'bpchar', 'name', 'timestamp', 'timestamptz', 'date', 'time', 'timetz', 'bytea', 'uuid',
        'inet', 'cidr']::regtype[]) OR t.oid = 'jsonb'::regtype AS survives,
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
      WHEN oid = 'jsonb'::regtype THEN '(%1$s)::' || quoted_type
      WHEN survives AND is_array THEN 'CASE jsonb_typeof(%1$s) WHEN ''array'' THEN (SELECT r.v FROM jsonb_to_record('
        || 'jsonb_build_object(''v'', %1$s)) r(v ' || quoted_type || ')) ELSE (%1$s #>> ''{}'')::' || quoted_type || ' END'
      ELSE '(%1$s #>> ''{}'')::' || quoted_type
    END
    FROM judged CROSS JOIN LATERAL replace(type, '%', '%%') AS quoted_type ORDER BY attnum
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

-- The body of a table's trigger function. The same statement serves the three operations:
--   old and new rows are joined by FULL JOIN, which cannot be planned as a nested loop: the plan is cached from
--   one-row updates, and an inner join then made 20,000 rows take 25 s instead of 0.3;
--   each old image is compared with the live row, because transition rows are not the final rows (two cascades
--   on one row, a row trigger that writes again, DELETE … RETURNING into INSERT). All these rows are locked by us.
--   A live row that matters was written by this transaction (age(xmin) <= 0): a REPEATABLE READ snapshot may also show
--   a row of the same key that another transaction has deleted since;
--   LIMIT keeps the look-up of the live row an index look-up per row, whatever the table's size was when the plan was made.
-- Names of a user's columns only ever appear behind an alias, so they cannot clash with anything here. They may hold a %,
-- so nothing that was formatted is a format again.
CREATE FUNCTION tidemark.trigger_body(rel regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $generator$
DECLARE
  known tidemark.resources := (SELECT r FROM tidemark.resources r WHERE r.relation = rel);
  id_old text := tidemark.id_expression(rel, 'o');
  id_new text := tidemark.id_expression(rel, 'n');
  row_version text := CASE WHEN known.versioned THEN 'l.row_version' ELSE 'NULL::bigint' END;
  key_present text;
  same_as_old text;
  same_as_new text;
  same_as_either text;
  live text := format('(SELECT l.* FROM ONLY %s l WHERE ', rel);
  live_end text := format(' AND %s = i.id AND age(l.xmin) <= 0 LIMIT 1) l', tidemark.id_expression(rel, 'l'));
  fields_created text;
  fields_changed text;
  shares_update boolean;
  shares_delete boolean;
  write text := $sql$
    ), t AS MATERIALIZED (
      SELECT (s.stamp).* FROM (SELECT tidemark.stamp(%1$s, (SELECT count(DISTINCT d.id) FROM d), %4$L) AS stamp OFFSET 0) s
        WHERE (s.stamp).tid IS NOT NULL
    ), j AS (
      INSERT INTO %2$s (resource, tid, id, change, time, author, ipnr, authenticated, origin, db_role, txn, row_version, comment, meta)
        SELECT DISTINCT ON (d.id) %4$L, t.tid, d.id, d.change, t.time, t.author, t.ipnr, t.authenticated, t.origin, t.db_role,
          t.txn, d.row_version, t.comment, t.meta
          FROM d CROSS JOIN t
    ), h AS (
      INSERT INTO %3$s (resource, tid, id, field, value)
        SELECT %4$L, t.tid, d.id, d.field, d.value FROM d CROSS JOIN t WHERE d.field IS NOT NULL
    )
    SELECT t.told FROM t INTO told;$sql$;
BEGIN
  SELECT string_agg(format('(%L, %s, l.%I IS DISTINCT FROM NULL)', c.name, format(c.written, 'l.' || quote_ident(c.name)), c.name),
      E',\n          '),
    string_agg(format('(%L, CASE WHEN %s THEN %s END, %2$s)', c.name,
      format(CASE WHEN c.image THEN '(row(l.%1$I)::record OPERATOR(pg_catalog.*<>) row(o.%1$I)::record)'
        ELSE 'l.%1$I IS DISTINCT FROM o.%1$I' END, c.name),
      format(c.written, 'l.' || quote_ident(c.name))), E',\n          ')
    INTO fields_created, fields_changed
    FROM tidemark.journaled_columns(rel) c WHERE NOT (known.versioned AND c.name = 'row_version');

  SELECT coalesce(bool_and(c.confdeltype NOT IN ('n', 'd') AND c.confupdtype NOT IN ('c', 'n', 'd')), true),
    coalesce(bool_and(c.confdeltype <> 'c'), true)
    INTO shares_update, shares_delete
    FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = rel;

  -- The key is compared by the operator of its own index: another one (text's for a citext key) could not use the index.
  SELECT min(format('%I IS DISTINCT FROM NULL', a.attname)) FILTER (WHERE k.ord = 1),
    string_agg(format('l.%1$I OPERATOR(%2$I.%3$s) o.%1$I', a.attname, n.nspname, e.oprname), ' AND ' ORDER BY k.ord),
    string_agg(format('l.%1$I OPERATOR(%2$I.%3$s) n.%1$I', a.attname, n.nspname, e.oprname), ' AND ' ORDER BY k.ord),
    string_agg(format('l.%1$I OPERATOR(%2$I.%3$s) coalesce(n.%1$I, o.%1$I)', a.attname, n.nspname, e.oprname), ' AND ' ORDER BY k.ord)
    INTO key_present, same_as_old, same_as_new, same_as_either
    FROM pg_index i CROSS JOIN unnest(i.indkey::smallint[], i.indclass::oid[]) WITH ORDINALITY k(attnum, opclass, ord)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    JOIN pg_opclass c ON c.oid = k.opclass
    JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3
    JOIN pg_operator e ON e.oid = m.amopopr JOIN pg_namespace n ON n.oid = e.oprnamespace
    WHERE i.indrelid = rel AND i.indisprimary;
  RETURN format($body$
#variable_conflict use_column
DECLARE
  told text;
  one_id text;
  one_version bigint;
  one_fields text[];
  one_values jsonb[];
  s record;
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
    -- One row under its old key is what most updates are: the same as below in small statements, a third cheaper.
    SELECT i.id, %1$s, f.fields, f.vals
      FROM old_rows o CROSS JOIN new_rows n
      CROSS JOIN LATERAL (SELECT %2$s) i(id)
      CROSS JOIN LATERAL %3$s
      CROSS JOIN LATERAL (SELECT array_agg(f.field), array_agg(f.value) FROM (VALUES
        %9$s
      ) f(field, value, changed) WHERE f.changed) f(fields, vals)
      WHERE i.id = %7$s AND (SELECT count(*) FROM (SELECT FROM old_rows LIMIT 2) few) = 1
      INTO one_id, one_version, one_fields, one_values;
    IF FOUND THEN
      IF one_fields IS NULL THEN RETURN NULL; END IF;
      s := tidemark.stamp(%13$s, 1, %16$L);
      INSERT INTO %14$s (resource, tid, id, change, time, author, ipnr, authenticated, origin, db_role, txn, row_version, comment, meta)
        VALUES (%16$L, s.tid, one_id, 'MODIFY', s.time, s.author, s.ipnr, s.authenticated, s.origin, s.db_role, s.txn, one_version, s.comment, s.meta);
      INSERT INTO %15$s (resource, tid, id, field, value) SELECT %16$L, s.tid, one_id, f.field, f.value FROM unnest(one_fields, one_values) f(field, value);
      IF s.told IS NOT NULL THEN RAISE INFO '%%', s.told USING ERRCODE = 'TM000'; END IF;
      RETURN NULL;
    END IF;
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
  -- a flush learns its tid in the same round trip: INFO is always sent, whatever client_min_messages says
  IF told IS NOT NULL THEN
    RAISE INFO '%%', told USING ERRCODE = 'TM000';
  END IF;
  RETURN NULL;
END
$body$,
    row_version,                                                                        -- 1
    id_new,                                                                             -- 2
    live || same_as_new || live_end,                                                    -- 3
    fields_created,                                                                     -- 4
    format(write, 'true', known.journal, known.history, known.resource),                -- 5
    key_present,                                                                        -- 6
    id_old,                                                                             -- 7
    live || same_as_either || live_end,                                                 -- 8
    fields_changed,                                                                     -- 9
    format(write, shares_update::text, known.journal, known.history, known.resource),         -- 10
    live || same_as_old || live_end,                                                    -- 11
    format(write, shares_delete::text, known.journal, known.history, known.resource),         -- 12
    shares_update::text,                                                                      -- 13
    known.journal,                                                                      -- 14
    known.history,                                                                      -- 15
    known.resource                                                                      -- 16
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
    new.row_version := coalesce(old.row_version, 0) + 1;
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
-- A row begins at its last CREATE; a field that is absent is NULL. Nested loops are off here and wherever the whole of a
-- resource is compared: the planner takes such intermediate results for small, and 3,000 rows then took a minute. (JIT
-- goes with them: a plan that cannot do without one looks costly.)
CREATE FUNCTION tidemark.fold(resource_name text, upto bigint DEFAULT NULL) RETURNS TABLE (id text, field text, value jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $$
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
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off SET enable_nestloop = off SET jit = off AS $$
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

-- What DDL can change without a trigger noticing: the columns, the key, and by a rewrite of the table any value.
CREATE FUNCTION tidemark.shape(rel regclass) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('storage', pg_relation_filenode(rel), 'key', tidemark.id_expression(rel, 'l'),
    'types', jsonb_object_agg(c.name, c.type), 'columns', jsonb_object_agg(c.name, a.attnum || ' ' || c.type))
    FROM tidemark.journaled_columns(rel) c JOIN pg_attribute a ON a.attrelid = rel AND a.attname = c.name
$$;

-- Takes from everybody but the owner what default privileges may have given away with a new object.
CREATE FUNCTION tidemark.withdraw(object text, acl aclitem[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee text;
BEGIN
  FOR grantee IN
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
      FROM aclexplode(acl) a WHERE a.grantee <> a.grantor
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', object, grantee);
  END LOOP;
END $$;

-- Journals a table from now on: creates <table>_journal, <table>_history and the triggers. Call it in the migration
-- that creates the table, and again after any DDL on it; called twice it changes nothing. Locks the table against writes
-- until the transaction ends.
--   resource      the name in the journal; the table's name if not given
--   row_version   adds the column row_version bigint, counted by a trigger, for optimistic concurrency
--   field_index   adds an index (id, field, tid) on the history, for rows that change thousands of times
-- Rows that exist are journaled as CREATE with the comment 'baseline'; what DDL has changed since the last call as one
-- change of each such row with the comment 'schema'. A table that was dropped and made anew under its resource's name
-- goes on with its journal.
CREATE FUNCTION tidemark.journal_table(rel regclass, resource text DEFAULT NULL, row_version boolean DEFAULT NULL,
  field_index boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off AS $$
DECLARE
  refusal text := tidemark.journal_refusal(rel);
  table_name text := (SELECT c.relname FROM pg_class c WHERE c.oid = rel);
  schema_name text := (SELECT c.relnamespace::regnamespace FROM pg_class c WHERE c.oid = rel);
  known tidemark.resources := (SELECT r FROM tidemark.resources r WHERE r.relation = rel);
  current tidemark.resources;
  fields text[];
BEGIN
  IF refusal IS NOT NULL THEN
    RAISE EXCEPTION '% cannot be journaled: %', rel, refusal USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  current.resource := coalesce(known.resource, journal_table.resource, table_name);
  IF octet_length(current.resource) > 55 OR current.resource = '' THEN
    RAISE EXCEPTION 'the resource name "%" must have 1 to 55 bytes', current.resource USING ERRCODE = 'name_too_long';
  END IF;
  IF known.resource <> journal_table.resource THEN
    RAISE EXCEPTION '% is journaled as "%", which cannot become "%"', rel, known.resource, journal_table.resource
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF known.resource IS NULL THEN
    known := (SELECT r FROM tidemark.resources r WHERE r.resource = current.resource);
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = known.relation) THEN
      RAISE EXCEPTION 'the resource name "%" is taken by another table: give journal_table() one', known.resource
        USING ERRCODE = 'duplicate_object';
    END IF;
  END IF;
  IF known.versioned AND NOT journal_table.row_version THEN
    RAISE EXCEPTION '% has a row_version, which its journal''s readers rely on', rel USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', rel);

  current.versioned := coalesce(known.versioned, false) OR coalesce(journal_table.row_version, false);
  IF current.versioned THEN PERFORM tidemark.add_row_version(rel); END IF;
  current.relation := rel;
  current.relation_name := table_name;
  current.shape := tidemark.shape(rel);
  current.journal := coalesce(known.journal, tidemark.add_partition('tidemark.journal', 'tid, id', schema_name, table_name || '_journal', current.resource));
  current.history := coalesce(known.history, tidemark.add_partition('tidemark.history', 'tid, id, field', schema_name, table_name || '_history', current.resource));
  IF known.resource IS NULL THEN
    EXECUTE format('CREATE INDEX ON %s (id, tid)', current.journal);
  END IF;
  IF field_index AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = current.history AND NOT i.indisprimary) THEN
    EXECUTE format('CREATE INDEX ON %s (id, field, tid)', current.history);
  END IF;
  DELETE FROM tidemark.resources r WHERE r.resource = current.resource;
  INSERT INTO tidemark.resources SELECT current.*;

  PERFORM tidemark.attach_triggers(current);

  -- null: all of them
  IF known.shape -> 'storage' = current.shape -> 'storage' AND known.shape -> 'key' = current.shape -> 'key' THEN
    fields := ARRAY(SELECT coalesce(o.key, n.key)
      FROM jsonb_each(known.shape -> 'columns') o FULL JOIN jsonb_each(current.shape -> 'columns') n ON n.key = o.key
      WHERE o.value IS DISTINCT FROM n.value OR coalesce(o.key, n.key) = 'row_version' AND known.versioned <> current.versioned);
  END IF;
  PERFORM tidemark.journal_difference(current, CASE WHEN known.resource IS NULL THEN 'baseline' ELSE 'schema' END, fields);
END $$;

CREATE FUNCTION tidemark.add_row_version(rel regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  present regtype := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = rel AND a.attname = 'row_version' AND NOT a.attisdropped);
BEGIN
  IF present IS NULL THEN
    EXECUTE format('ALTER TABLE %s ADD COLUMN row_version bigint NOT NULL DEFAULT 1', rel);
  ELSIF present <> 'bigint'::regtype THEN
    RAISE EXCEPTION 'the column row_version of % is % and cannot count versions: it must be bigint', rel, present
      USING ERRCODE = 'datatype_mismatch';
  END IF;
END $$;

-- One resource's part of journal or history, which nobody but the owner can write to.
CREATE FUNCTION tidemark.add_partition(parent regclass, key text, schema_name text, name text, resource text) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  partition text := schema_name || '.' || quote_ident(name);
BEGIN
  IF to_regclass(partition) IS NOT NULL THEN
    RAISE EXCEPTION 'there is a table % already, and the journal needs that name', partition USING ERRCODE = 'duplicate_table';
  END IF;
  EXECUTE format('CREATE TABLE %s PARTITION OF %s (PRIMARY KEY (%s)) FOR VALUES IN (%L)', partition, parent, key, resource);
  PERFORM tidemark.withdraw('TABLE ' || partition, (SELECT c.relacl FROM pg_class c WHERE c.oid = partition::regclass));
  EXECUTE format('GRANT SELECT ON %s TO tidemark_app', partition);
  RETURN partition;
END $$;

CREATE FUNCTION tidemark.attach_triggers(of tidemark.resources) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  trigger_function text := format('tidemark.%I()', 'journal_' || of.resource);
  version_function text := format('tidemark.%I()', 'version_' || of.resource);
  pinned text := 'SET search_path = pg_catalog, pg_temp SET row_security = off SET timezone = ''UTC'' SET datestyle = ''ISO, YMD'' '
    'SET intervalstyle = ''postgres'' SET extra_float_digits = 1 SET bytea_output = ''hex'' SET lc_monetary = ''C'' '
    'SET enable_seqscan = off SET jit = off';
  operation text;
BEGIN
  EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER %s AS %L',
    trigger_function, pinned, tidemark.trigger_body(of.relation));
  FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT EXECUTE FUNCTION %s',
      'tidemark_' || operation, operation, of.relation,
      CASE operation WHEN 'insert' THEN 'NEW TABLE AS new_rows' WHEN 'delete' THEN 'OLD TABLE AS old_rows'
        ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END,
      trigger_function);
  END LOOP;
  EXECUTE format('CREATE OR REPLACE TRIGGER tidemark_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION tidemark.refuse_truncate()', of.relation);
  IF of.versioned THEN
    EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS %L',
      version_function, tidemark.version_body(of.relation));
    -- row triggers fire in the order of their names: this one is to see what the others have made of the row
    EXECUTE format('CREATE OR REPLACE TRIGGER zz_tidemark_version BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s', of.relation, version_function);
  END IF;
  FOR operation IN SELECT g.tgname FROM pg_trigger g WHERE g.tgrelid = of.relation AND (g.tgname LIKE 'tidemark\_%' OR g.tgname = 'zz_tidemark_version') LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', of.relation, operation);
  END LOOP;
  -- who may make a trigger may replace one
  EXECUTE format('REVOKE TRIGGER ON %s FROM PUBLIC, tidemark_app, tidemark_importer', of.relation);
  -- or any role could put them on a table of its own and forge a journal row
  PERFORM tidemark.withdraw('FUNCTION ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)))
    FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname IN ('journal_' || of.resource, 'version_' || of.resource);
END $$;

-- Journals where model table and journal differ: in the given fields as MODIFY, or (null) in anything, as CREATE of the
-- rows that the journal does not have, DELETE of those that are gone and MODIFY of the others. The caller has locked the
-- table against writes.
CREATE FUNCTION tidemark.journal_difference(of tidemark.resources, why text, fields text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off SET enable_nestloop = off SET jit = off AS $$
DECLARE
  values_written text;
BEGIN
  IF fields = '{}' THEN RETURN; END IF;
  SELECT string_agg(format('(%L, %s)', c.name, format(c.written, 'l.' || quote_ident(c.name))), ', ') INTO values_written
    FROM tidemark.journaled_columns(of.relation) c
    WHERE (fields IS NULL OR c.name = ANY (fields)) AND NOT (of.versioned AND c.name = 'row_version');
  EXECUTE format($sql$
    WITH live AS MATERIALIZED (
      SELECT %1$s AS id, %2$s AS row_version, v.field, v.value
        FROM ONLY %3$s l LEFT JOIN LATERAL (VALUES %4$s) v(field, value) ON true
    ), fold AS MATERIALIZED (
      SELECT f.id, f.field, f.value FROM tidemark.fold(%5$L) f WHERE $1 IS NULL OR f.field = ANY ($1)
    ), rows AS MATERIALIZED (
      SELECT coalesce(f.id, l.id) AS id, l.row_version,
          CASE WHEN $1 IS NOT NULL THEN 'MODIFY' WHEN f.id IS NULL THEN 'CREATE' WHEN l.id IS NULL THEN 'DELETE' ELSE 'MODIFY' END AS change
        FROM (SELECT DISTINCT f.id FROM fold f) f FULL JOIN (SELECT DISTINCT l.id, l.row_version FROM live l) l ON l.id = f.id
        WHERE $1 IS NULL OR l.id IS NOT NULL
    ), d AS MATERIALIZED (
      SELECT r.id, r.change, r.row_version, v.field, v.value
        FROM rows r LEFT JOIN (
          SELECT coalesce(f.id, l.id) AS id, coalesce(f.field, l.field) AS field, l.value
            FROM (SELECT f.* FROM fold f WHERE f.field IS NOT NULL) f
            FULL JOIN (SELECT l.* FROM live l WHERE l.value IS NOT NULL) l ON l.id = f.id AND l.field = f.field
            WHERE f.value::text IS DISTINCT FROM l.value::text
        ) v ON v.id = r.id AND r.change <> 'DELETE'
        WHERE v.id IS NOT NULL OR r.change <> 'MODIFY'
    ), t AS MATERIALIZED (
      SELECT (s.stamp).* FROM (SELECT tidemark.stamp(false, (SELECT count(DISTINCT d.id) FROM d), %5$L) AS stamp OFFSET 0) s
        WHERE (s.stamp).tid IS NOT NULL
    ), j AS (
      INSERT INTO %6$s (resource, tid, id, change, time, author, ipnr, authenticated, origin, db_role, txn, row_version, comment, meta)
        SELECT DISTINCT ON (d.id) %5$L, t.tid, d.id, d.change, t.time, t.author, t.ipnr,
          t.authenticated, t.origin, t.db_role, t.txn, d.row_version, $2, t.meta
          FROM d CROSS JOIN t
    )
    INSERT INTO %7$s (resource, tid, id, field, value)
      SELECT %5$L, t.tid, d.id, d.field, d.value FROM d CROSS JOIN t WHERE d.field IS NOT NULL$sql$,
    tidemark.id_expression(of.relation, 'l'), CASE WHEN of.versioned THEN 'l.row_version' ELSE 'NULL::bigint' END, of.relation,
    coalesce(values_written, '(NULL::text, NULL::jsonb)'), of.resource, of.journal, of.history)
    USING fields, why;
END $$;

-- What start-up and doctor look at: journaled tables whose triggers are not what journal_table() would make of them now
-- (columns, keys or foreign keys were changed and it was not called again), or are missing or switched off.
CREATE FUNCTION tidemark.table_problems() RETURNS TABLE (resource text, relation text, problem text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.resource, CASE WHEN c.oid IS NULL THEN r.relation_name ELSE c.oid::regclass::text END, p.problem
    FROM tidemark.resources r
    LEFT JOIN pg_class c ON c.oid = r.relation
    CROSS JOIN LATERAL (
      SELECT 'the table is gone' AS problem WHERE c.oid IS NULL
      UNION ALL
      SELECT 'it can no longer be journaled: ' || tidemark.journal_refusal(c.oid) WHERE tidemark.journal_refusal(c.oid) IS NOT NULL
      UNION ALL
      SELECT 'it was changed and tidemark.journal_table() was not called again'
        WHERE c.oid IS NOT NULL AND tidemark.journal_refusal(c.oid) IS NULL
          AND ((SELECT f.prosrc FROM pg_proc f WHERE f.pronamespace = 'tidemark'::regnamespace AND f.proname = 'journal_' || r.resource)
            IS DISTINCT FROM tidemark.trigger_body(c.oid)
          -- not the numbers of its columns and its storage, which a restored dump changes too
          OR r.shape -> 'types' <> tidemark.shape(c.oid) -> 'types')
      UNION ALL
      SELECT format('trigger %s is %s', e.name, CASE WHEN g.oid IS NULL THEN 'missing' WHEN g.tgenabled <> 'A' THEN 'not ENABLE ALWAYS'
          ELSE 'another one' END)
        FROM (VALUES ('tidemark_insert', 'journal_' || r.resource), ('tidemark_update', 'journal_' || r.resource),
          ('tidemark_delete', 'journal_' || r.resource), ('tidemark_truncate', 'refuse_truncate'),
          ('zz_tidemark_version', 'version_' || r.resource)) e(name, function)
        LEFT JOIN pg_trigger g ON g.tgrelid = c.oid AND g.tgname = e.name
        LEFT JOIN pg_proc f ON f.oid = g.tgfoid AND f.pronamespace = 'tidemark'::regnamespace AND f.proname = e.function
        WHERE c.oid IS NOT NULL AND (r.versioned OR e.name <> 'zz_tidemark_version') AND (g.tgenabled = 'A' AND f.oid IS NOT NULL) IS NOT TRUE
      UNION ALL
      SELECT 'tidemark_app has the right TRIGGER on it and could replace its triggers'
        WHERE c.oid IS NOT NULL AND has_table_privilege('tidemark_app', c.oid, 'TRIGGER')
      UNION ALL
      SELECT format('tidemark_app may write to %s', t)
        FROM unnest(ARRAY[r.journal, r.history]) t
        WHERE has_table_privilege('tidemark_app', t, 'INSERT, UPDATE, DELETE, TRUNCATE')
    ) p
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Rights: nothing but what is granted here, whatever the database's default privileges say
-- ---------------------------------------------------------------------------------------------------------

DO $$
BEGIN
  PERFORM tidemark.withdraw(CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, c.relacl)
    FROM pg_class c
    WHERE c.oid = ANY (ARRAY['tidemark.epoch', 'tidemark.tid', 'tidemark.journal', 'tidemark.history', 'tidemark.resources',
      'tidemark.processes']::regclass[]);
  PERFORM tidemark.withdraw('FUNCTION ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)))
    FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace;
END $$;

GRANT SELECT ON tidemark.journal, tidemark.history, tidemark.resources TO tidemark_app;
GRANT SELECT (epoch, created) ON tidemark.epoch TO tidemark_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark.processes TO tidemark_app;
GRANT EXECUTE ON FUNCTION tidemark.frontier(), tidemark.safe_tid(), tidemark.drawn(), tidemark.expect(bigint, text),
  tidemark.journaled_columns(regclass), tidemark.id_expression(regclass, text),
  tidemark.fold(text, bigint), tidemark.drift(text), tidemark.journal_refusal(regclass), tidemark.trigger_body(regclass),
  tidemark.table_problems() TO tidemark_app;

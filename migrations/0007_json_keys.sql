-- The keys of a jsonb column journaled one by one: a change of one key is a history row of that key, not of the whole object.
-- A key that is removed is a history row with SQL NULL; one whose value is JSON null has the value null. An empty object has
-- no history row. Functions that stand here replace those of 0001; what they generate for other tables is the same as before,
-- byte for byte.

ALTER TABLE tidemark.resources ADD COLUMN json_keys text[] NOT NULL DEFAULT '{}';

-- SQL of more rows for a VALUES list of (field, value …): one for each key of such columns behind the alias l.
CREATE FUNCTION tidemark.json_key_rows(columns text[], more text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(string_agg(format(E'\n          UNION ALL SELECT %L || k.key, k.value%s FROM jsonb_each(l.%I) k', c.name || '.', more, c.name),
      '' ORDER BY c.name), '')
    FROM unnest(columns) c(name)
$$;

-- The same for the keys that differ between the images o and l. Objects that are the same are not taken apart; others are joined
-- by FULL JOIN, as looking each key up in the other would unpack a large object once for each.
CREATE FUNCTION tidemark.changed_json_key_rows(columns text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(string_agg(format($sql$
          UNION ALL SELECT %1$L || coalesce(k.key, p.key), k.value, true
            FROM jsonb_each(CASE WHEN row(l.%2$I)::record OPERATOR(pg_catalog.*<>) row(o.%2$I)::record THEN l.%2$I END) k
            FULL JOIN jsonb_each(CASE WHEN row(l.%2$I)::record OPERATOR(pg_catalog.*<>) row(o.%2$I)::record THEN o.%2$I END) p ON p.key = k.key
            WHERE row(k.value)::record OPERATOR(pg_catalog.*<>) row(p.value)::record$sql$, c.name || '.', c.name), '' ORDER BY c.name), '')
    FROM unnest(columns) c(name)
$$;

-- Whether the table guarantees that a column holds nothing but JSON objects (and NULL).
CREATE FUNCTION tidemark.has_object_check(rel regclass, name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_constraint c
    WHERE c.conrelid = rel AND c.contype = 'c' AND c.convalidated
      AND pg_get_expr(c.conbin, rel) = format('(jsonb_typeof(%I) = ''object''::text)', name))
$$;

-- Says why the keys of such columns cannot be journaled one by one, or nothing.
CREATE FUNCTION tidemark.json_keys_refusal(rel regclass, json_keys text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.refusal FROM unnest(json_keys) w(name)
    LEFT JOIN pg_attribute a ON a.attrelid = rel AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (SELECT CASE
      WHEN w.name IS NULL THEN 'json_keys names no column: it holds NULL'
      WHEN a.attnum IS NULL THEN format('it has no column %I, whose keys are to be journaled one by one: say json_keys anew', w.name)
      WHEN a.atttypid <> 'jsonb'::regtype THEN format('its column %I is %s, and only the keys of jsonb can be journaled one by one',
        w.name, format_type(a.atttypid, a.atttypmod))
      WHEN a.attgenerated <> '' THEN format('its column %I is generated', w.name)
      WHEN a.attnum = ANY (SELECT unnest(i.indkey::smallint[]) FROM pg_index i WHERE i.indrelid = rel AND i.indisprimary)
        THEN format('its column %I belongs to the primary key, which cannot be journaled by its keys', w.name)
      WHEN NOT a.attnotnull THEN format('its column %I may be NULL, which its keys could not tell from an empty object', w.name)
      WHEN NOT tidemark.has_object_check(rel, w.name)
        THEN format('its column %1$I has no CHECK (jsonb_typeof(%1$I) = ''object'')', w.name)
      ELSE (SELECT format('its column %I has the name of a key of its column %I in the journal', min(b.attname), w.name)
        FROM pg_attribute b WHERE b.attrelid = rel AND b.attnum > 0 AND NOT b.attisdropped AND starts_with(b.attname, w.name || '.')
        HAVING count(*) > 0)
    END) r(refusal)
    WHERE r.refusal IS NOT NULL ORDER BY w.name LIMIT 1
$$;

-- Lets the table guarantee it, if the column can.
CREATE FUNCTION tidemark.add_object_check(rel regclass, name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_jsonb boolean := EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = rel AND a.attname = name AND NOT a.attisdropped AND a.atttypid = 'jsonb'::regtype);
BEGIN
  IF NOT is_jsonb OR tidemark.has_object_check(rel, name) THEN RETURN; END IF;
  EXECUTE format('ALTER TABLE %s ADD CHECK (jsonb_typeof(%I) = ''object'')', rel, name);
EXCEPTION WHEN check_violation THEN
  RAISE EXCEPTION '% cannot be journaled: its column % holds values that are no JSON objects, which have no keys', rel, quote_ident(name)
    USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;

-- As in 0001, with the keys of json_keys columns as fields of their own.
CREATE OR REPLACE FUNCTION tidemark.trigger_body(rel regclass) RETURNS text
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
    FROM tidemark.journaled_columns(rel) c
    WHERE NOT (known.versioned AND c.name = 'row_version') AND c.name <> ALL (known.json_keys);
  fields_created := fields_created || tidemark.json_key_rows(known.json_keys, ', true');
  fields_changed := fields_changed || tidemark.changed_json_key_rows(known.json_keys);

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

-- Where the model table and the fold of its journal differ: field null = the row is on one side only.
CREATE OR REPLACE FUNCTION tidemark.drift(resource_name text) RETURNS TABLE (id text, field text, folded jsonb, actual jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off SET enable_nestloop = off SET jit = off AS $$
DECLARE
  rel regclass := (SELECT r.relation FROM tidemark.resources r WHERE r.resource = resource_name);
  fields text;
BEGIN
  IF rel IS NULL THEN RAISE EXCEPTION 'no resource "%" is journaled', resource_name USING ERRCODE = 'undefined_object'; END IF;
  SELECT string_agg(format('(%L, %s)', c.name, format(c.written, 'l.' || quote_ident(c.name))), ', ') INTO fields
    FROM tidemark.journaled_columns(rel) c, tidemark.resources r
    WHERE r.relation = rel AND NOT (r.versioned AND c.name = 'row_version') AND c.name <> ALL (r.json_keys);
  fields := fields || tidemark.json_key_rows((SELECT r.json_keys FROM tidemark.resources r WHERE r.relation = rel), '');
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

DROP FUNCTION tidemark.journal_table(regclass, text, boolean, boolean);

-- Journals a table from now on: creates <table>_journal, <table>_history and the triggers. Call it in the migration
-- that creates the table, and again after any DDL on it; called twice it changes nothing. Locks the table against writes
-- until the transaction ends.
--   resource      the name in the journal; the table's name if not given
--   row_version   adds the column row_version bigint, counted by a trigger, for optimistic concurrency
--   field_index   adds an index (id, field, tid) on the history, for rows that change thousands of times
--   json_keys     jsonb columns whose keys are journaled one by one, as fields <column>.<key>, instead of one field for the
--                 whole: NOT NULL, and with a CHECK (added where it is missing) that they hold objects. Null: as it was; '{}': none
-- Rows that exist are journaled as CREATE with the comment 'baseline'; what DDL has changed since the last call as one
-- change of each such row with the comment 'schema'. A table that was dropped and made anew under its resource's name
-- goes on with its journal.
CREATE FUNCTION tidemark.journal_table(rel regclass, resource text DEFAULT NULL, row_version boolean DEFAULT NULL,
  field_index boolean DEFAULT false, json_keys text[] DEFAULT NULL) RETURNS void
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

  current.json_keys := ARRAY(SELECT DISTINCT k.name FROM unnest(coalesce(journal_table.json_keys, known.json_keys)) k(name) ORDER BY k.name);
  PERFORM tidemark.add_object_check(rel, k.name) FROM unnest(current.json_keys) k(name);
  refusal := tidemark.json_keys_refusal(rel, current.json_keys);
  IF refusal IS NOT NULL THEN
    RAISE EXCEPTION '% cannot be journaled: %', rel, refusal USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
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
  IF known.shape -> 'storage' = current.shape -> 'storage' AND known.shape -> 'key' = current.shape -> 'key'
    AND known.json_keys = current.json_keys
  THEN
    fields := ARRAY(SELECT coalesce(o.key, n.key)
      FROM jsonb_each(known.shape -> 'columns') o FULL JOIN jsonb_each(current.shape -> 'columns') n ON n.key = o.key
      WHERE o.value IS DISTINCT FROM n.value OR coalesce(o.key, n.key) = 'row_version' AND known.versioned <> current.versioned);
    -- its fields are not known by its name
    IF fields && current.json_keys THEN fields := NULL; END IF;
  END IF;
  PERFORM tidemark.journal_difference(current, CASE WHEN known.resource IS NULL THEN 'baseline' ELSE 'schema' END, fields);
END $$;

-- Journals where model table and journal differ: in the given fields as MODIFY, or (null) in anything, as CREATE of the
-- rows that the journal does not have, DELETE of those that are gone and MODIFY of the others. The caller has locked the
-- table against writes.
CREATE OR REPLACE FUNCTION tidemark.journal_difference(of tidemark.resources, why text, fields text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET row_security = off SET enable_nestloop = off SET jit = off AS $$
DECLARE
  values_written text;
BEGIN
  IF fields = '{}' THEN RETURN; END IF;
  SELECT string_agg(format('(%L, %s)', c.name, format(c.written, 'l.' || quote_ident(c.name))), ', ') INTO values_written
    FROM tidemark.journaled_columns(of.relation) c
    WHERE (fields IS NULL OR c.name = ANY (fields)) AND NOT (of.versioned AND c.name = 'row_version') AND c.name <> ALL (of.json_keys);
  IF fields IS NULL THEN values_written := values_written || tidemark.json_key_rows(of.json_keys, ''); END IF;
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
CREATE OR REPLACE FUNCTION tidemark.table_problems() RETURNS TABLE (resource text, relation text, problem text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.resource, CASE WHEN c.oid IS NULL THEN r.relation_name ELSE c.oid::regclass::text END, p.problem
    FROM tidemark.resources r
    LEFT JOIN pg_class c ON c.oid = r.relation
    CROSS JOIN LATERAL (
      SELECT 'the table is gone' AS problem WHERE c.oid IS NULL
      UNION ALL
      SELECT 'it can no longer be journaled: ' || tidemark.journal_refusal(c.oid) WHERE tidemark.journal_refusal(c.oid) IS NOT NULL
      UNION ALL
      SELECT 'it can no longer be journaled: ' || tidemark.json_keys_refusal(c.oid, r.json_keys)
        WHERE c.oid IS NOT NULL AND tidemark.json_keys_refusal(c.oid, r.json_keys) IS NOT NULL
      UNION ALL
      SELECT 'it was changed and tidemark.journal_table() was not called again'
        WHERE c.oid IS NOT NULL AND tidemark.journal_refusal(c.oid) IS NULL AND tidemark.json_keys_refusal(c.oid, r.json_keys) IS NULL
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

-- No rights but these; those of the functions that were replaced stay.
DO $$
BEGIN
  PERFORM tidemark.withdraw('FUNCTION ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)))
    FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace
      AND p.proname IN ('json_key_rows', 'changed_json_key_rows', 'json_keys_refusal', 'has_object_check', 'add_object_check', 'journal_table');
END $$;
-- drift() and trigger_body() run with the rights of who calls them
GRANT EXECUTE ON FUNCTION tidemark.json_key_rows(text[], text), tidemark.changed_json_key_rows(text[]) TO tidemark_app;

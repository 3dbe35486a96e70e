-- A flush is told its time beside its tid, so that who has made a change can show it without reading it back:
-- "tidemark <tid> <changes> <time> <flush>". stamp() is as it was in 0001, but for its last expression.

CREATE OR REPLACE FUNCTION tidemark.stamp(may_share boolean, changed bigint, resource_name text, OUT tid bigint, OUT txn bigint, OUT "time" timestamptz,
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
  told := CASE WHEN flush IS NOT NULL THEN concat_ws(' ', 'tidemark', tid, changed,
    to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), flush) END;
END $$;

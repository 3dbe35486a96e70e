-- Wiki pages. A page keeps its id when it is renamed: its history is the history of the id.

CREATE TABLE wiki (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  text text,
  bytes bytea, -- contents that are not UTF-8 or hold NUL
  readonly boolean NOT NULL DEFAULT false,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT wiki_contents CHECK (num_nonnulls(text, bytes) = 1),
  CONSTRAINT wiki_name CHECK (
    NOT string_to_array(name, '/') && ARRAY['', '.', '..'] AND name <> ''
    AND char_length(name) <= 500 AND octet_length(name) <= 2000
  )
);

-- version counts the changes of the contents, whoever makes them
CREATE FUNCTION wiki_count_version() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.version := OLD.version;
  IF NEW.text IS DISTINCT FROM OLD.text OR NEW.bytes IS DISTINCT FROM OLD.bytes THEN
    NEW.version := OLD.version + 1;
  END IF;
  RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION wiki_count_version() FROM PUBLIC;
CREATE TRIGGER wiki_count_version BEFORE UPDATE ON wiki FOR EACH ROW EXECUTE FUNCTION wiki_count_version();
ALTER TABLE wiki ENABLE ALWAYS TRIGGER wiki_count_version;

SELECT tidemark.journal_table('wiki', row_version => true);
-- who bore a name: reading a page as of the past, and the history of a deleted one
CREATE INDEX wiki_history_name ON wiki_history (value, tid) WHERE field = 'name';
GRANT SELECT, INSERT, UPDATE, DELETE ON wiki TO tidemark_app;

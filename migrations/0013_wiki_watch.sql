-- Who watches which page. Not journaled: the feeds are for every reader, and what somebody watches is nobody's business.

CREATE TABLE wiki_watch (
  page_id bigint NOT NULL, -- a page keeps its id when it is renamed
  user_name text COLLATE "C" NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  -- kept for a while: those who watched a page are told that it is gone
  page_deleted timestamptz,
  PRIMARY KEY (user_name, page_id)
);
CREATE INDEX wiki_watch_page ON wiki_watch (page_id);
CREATE INDEX wiki_watch_deleted ON wiki_watch (page_deleted) WHERE page_deleted IS NOT NULL;

-- As the owner: whoever deletes a page need not be allowed to see who watches it. So no name may be one that the caller can put something under.
CREATE FUNCTION wiki_end_watches() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('UPDATE %I.wiki_watch w SET page_deleted = now() FROM old_rows o WHERE w.page_id = o.id', TG_TABLE_SCHEMA);
  EXECUTE format('DELETE FROM %I.wiki_watch w WHERE w.page_deleted < now() - interval ''30 days''', TG_TABLE_SCHEMA);
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION wiki_end_watches() FROM PUBLIC;
CREATE TRIGGER wiki_end_watches AFTER DELETE ON wiki REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION wiki_end_watches();
ALTER TABLE wiki ENABLE ALWAYS TRIGGER wiki_end_watches;
GRANT SELECT, INSERT, DELETE, UPDATE (page_deleted) ON wiki_watch TO tidemark_app;

-- Users and their roles. viewer < editor < coordinator < admin: each may do whatever those before it may. What that is, libs/access/permissions.ts says.
CREATE TABLE tidemark.users (
  name text PRIMARY KEY CHECK (name <> ''),
  email text CHECK (email <> ''),
  -- those that count everywhere
  roles text[] NOT NULL DEFAULT '{}' CHECK (roles <@ ARRAY['viewer', 'editor', 'coordinator', 'admin']),
  created timestamptz NOT NULL DEFAULT now(),
  disabled timestamptz
);

-- Roles that count in one project, instead of those of everywhere. Nobody is an admin of one project only.
CREATE TABLE tidemark.project_roles (
  user_name text NOT NULL REFERENCES tidemark.users,
  project text COLLATE "C" NOT NULL CHECK (project <> ''),
  role text NOT NULL CHECK (role IN ('viewer', 'editor', 'coordinator')),
  PRIMARY KEY (user_name, project, role)
);

-- A user is disabled, never deleted or renamed: the journal's authors stay explicable.
GRANT SELECT, INSERT, UPDATE (email, roles, disabled) ON tidemark.users TO tidemark_app;
GRANT SELECT, INSERT, DELETE ON tidemark.project_roles TO tidemark_app;

-- A token's roles are from now on the most that it lends of its user's; none: all of them. Until now any word could stand there, "admin"
-- alone meant something, and without it one could do what an editor may.
UPDATE tidemark.tokens SET roles = coalesce(
  (SELECT array_agg(DISTINCT role) FROM unnest(roles) role WHERE role IN ('viewer', 'editor', 'coordinator', 'admin')), '{editor}');
INSERT INTO tidemark.users (name, roles, created)
  SELECT t.user_name,
      coalesce(array_agg(DISTINCT r.role) FILTER (WHERE t.revoked IS NULL AND (t.expires IS NULL OR t.expires > now())), '{}'),
      min(t.created)
    FROM tidemark.tokens t CROSS JOIN unnest(t.roles) r(role) GROUP BY t.user_name;

-- A token made for somebody unknown, as an earlier version still running does, makes its user.
CREATE FUNCTION tidemark.add_token_user() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO tidemark.users (name, roles)
    VALUES (NEW.user_name, ARRAY(SELECT DISTINCT role FROM unnest(NEW.roles) role WHERE role IN ('viewer', 'editor', 'coordinator', 'admin')))
    ON CONFLICT DO NOTHING;
  RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION tidemark.add_token_user() FROM PUBLIC;
CREATE TRIGGER add_token_user BEFORE INSERT ON tidemark.tokens FOR EACH ROW EXECUTE FUNCTION tidemark.add_token_user();
ALTER TABLE tidemark.tokens ADD FOREIGN KEY (user_name) REFERENCES tidemark.users;
CREATE INDEX ON tidemark.tokens (user_name);

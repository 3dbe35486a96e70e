import type { Queryable } from '#libs/database';

/** What the login role of a connection may do in this database. */
export interface Rights {
  readonly role: string;
  /** Whether the schema tidemark is there. */
  readonly installed: boolean;
  readonly superuser: boolean;
  /** Whether it has the rights of the owner of the schema tidemark. */
  readonly owner: boolean;
  readonly may_create: boolean;
  /** Of tidemark_app and tidemark_importer: whether it may become it, and whether it has its rights without that. */
  readonly app_member: boolean;
  readonly app_rights: boolean;
  readonly importer_member: boolean;
  readonly importer_rights: boolean;
}

export async function selectRights(db: Queryable): Promise<Rights> {
  const { rows } = await db.query<Rights>(
    `SELECT current_user::text AS role, n.oid IS NOT NULL AS installed, r.rolsuper AS superuser,
         coalesce(pg_has_role(current_user, n.nspowner, 'USAGE'), false) AS owner,
         has_database_privilege(current_database(), 'CREATE') AS may_create,
         coalesce(pg_has_role(current_user, a.oid, w.working_as), false) AS app_member,
         coalesce(pg_has_role(current_user, a.oid, 'USAGE'), false) AS app_rights,
         coalesce(pg_has_role(current_user, i.oid, w.working_as), false) AS importer_member,
         coalesce(pg_has_role(current_user, i.oid, 'USAGE'), false) AS importer_rights
       FROM pg_roles r
       CROSS JOIN (SELECT CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END AS working_as) w
       LEFT JOIN pg_namespace n ON n.nspname = 'tidemark'
       LEFT JOIN pg_roles a ON a.rolname = 'tidemark_app'
       LEFT JOIN pg_roles i ON i.rolname = 'tidemark_importer'
       WHERE r.rolname = current_user`,
  );
  return rows[0] as Rights;
}

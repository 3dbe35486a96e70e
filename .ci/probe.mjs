// Prints the version of the PostgreSQL server at the given URL when the tests can use it (15 or newer, a role that
// may create databases and roles); otherwise says why not on standard error and exits with 1.
import pg from 'pg';

const client = new pg.Client({ connectionString: process.argv[2], connectionTimeoutMillis: 3000 });
client.on('error', () => {});
try {
  await client.connect();
  const { rows } = await client.query(
    `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
            rolsuper OR rolcreatedb AND rolcreaterole AS able FROM pg_roles WHERE rolname = current_user`,
  );
  const [{ number, version, able }] = rows;
  if (number < 150000) throw new Error(`PostgreSQL ${version} is older than 15`);
  if (!able) throw new Error('its role may not create databases and roles');
  console.log(version);
} catch (error) {
  console.error(error.message || error.errors?.[0]?.message || error.code);
  process.exitCode = 1;
} finally {
  await client.end().catch(() => {});
}

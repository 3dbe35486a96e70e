import Fastify from 'fastify';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

// The same table as the wiki's, without a journal, behind Fastify and Kysely alone: what the comparison stands on.

interface Tables {
  page: { id: number; name: string; text: string; readonly: boolean };
}

const db = new Kysely<Tables>({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.argv[2], max: 10 }) }),
});
const app = Fastify();

app.put<{ Params: { name: string }; Body: { text: string } }>(
  '/wiki/:name',
  { schema: { body: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } } } },
  async ({ params, body }, reply) => {
    const { text } = body;
    const page = await db
      .updateTable('page')
      .set({ text })
      .where('name', '=', params.name)
      .returningAll()
      .executeTakeFirst();
    return page ?? reply.code(404).send();
  },
);

await app.listen({ port: 0, host: '127.0.0.1' });
console.log(`ready on ${app.listeningOrigin}`);
process.on('SIGTERM', () => void Promise.all([app.close(), db.destroy()]));

import { type FeedOptions, follow } from './feed-client.ts';
import { SqliteStore } from './sqlite-store.ts';

const [url = '', token = '', file = '', form, limit] = process.argv.slice(2);
const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());

const given = { url, token, form: form as FeedOptions['form'] & string, limit: Number(limit) };
await follow({ ...given, store: new SqliteStore(file), signal: stopping.signal });

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { addUser, createToken, disableUser } from '#libs/access';
import { Database } from '#libs/database';
import { retryEffects } from '#libs/effects';
import { settled } from '#libs/testing';
import { type MailSink, mailSink, type ReceivedMail, refusal } from '../support/mail-sink.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let owner: Database;
let sink: MailSink;
let server: TestServer;
const tokens = new Map<string, string>();

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl, poolSize: 2 });
  sink = await mailSink();
  server = await testServer(database.url, {
    SMTP_URL: sink.url,
    TIDEMARK_MAIL_FROM: 'Tidemark <tidemark@example.org>',
  });
  for (const name of ['joe', 'ann', 'bob', 'eve', 'stranger']) {
    const roles = name === 'stranger' ? [] : ['editor'];
    await addUser(owner, { name, email: `${name}@example.org`, roles });
    tokens.set(name, (await createToken(owner, { user: name, roles: [] })).token);
  }
});
beforeEach(async () => {
  await quiet();
  sink.mails.length = 0;
  delete sink.onRcptTo;
  delete sink.onMail;
});
afterAll(async () => {
  await server?.close();
  await sink?.close();
  await owner?.close();
  await database?.drop();
});

const bearer = (user: string) => ({ authorization: `Bearer ${tokens.get(user)}` });
const as = (user: string, method: string, path: string, body: object = {}): Promise<Answer> =>
  server.send(method, path, body, bearer(user));
const watched = async (user: string) =>
  (await (await server.ask('/me/watches', { headers: bearer(user) })).json()).items;
const quiet = () => settled(server.kernel, { timeout: 30_000 });

async function ticket(user: string, fields: object = {}): Promise<string> {
  const { id } = await (await as(user, 'POST', '/tickets', { summary: 'It does not work', ...fields })).json();
  return id;
}

async function sent(): Promise<string[]> {
  await quiet();
  return sink.mails.map(({ to }) => to.join()).sort();
}

const only = (to: string) => sink.mails.filter((mail) => mail.to[0] === to) as [ReceivedMail, ...ReceivedMail[]];

describe('mail of a ticket', () => {
  it('that is opened goes to owner, reporter and cc, not to the author', async () => {
    await ticket('joe', { owner: 'ann', cc: 'bob, carol@elsewhere.example', description: 'At all.' });
    expect(await sent()).toEqual(['ann@example.org', 'bob@example.org', 'carol@elsewhere.example']);
    const [{ subject, text, headers }] = only('ann@example.org');
    expect(subject).toMatch(/^\[Tidemark\] #\d+: It does not work$/);
    expect(text).toContain('joe has opened ticket');
    expect(text).toContain('  owner: ann\n');
    expect(text).toContain('\n\nAt all.\n');
    expect(text).toContain('You get this as owner.');
    expect(headers).toMatchObject({
      ...{ from: 'Tidemark <tidemark@example.org>', to: 'ann@example.org' },
      ...{ 'auto-submitted': 'auto-generated', precedence: 'bulk' },
    });
  });

  it('that changes goes also to the owner and the cc before, and to whoever changed or commented before', async () => {
    const id = await ticket('joe', { owner: 'ann', cc: 'carol@elsewhere.example' });
    await as('eve', 'PATCH', `/tickets/${id}`, { comment: 'me, too' });
    await quiet();
    sink.mails.length = 0;
    await as('bob', 'PATCH', `/tickets/${id}`, { owner: 'bob', cc: 'dan@elsewhere.example', comment: 'mine' });
    expect(await sent()).toEqual([
      ...['ann@example.org', 'carol@elsewhere.example', 'dan@elsewhere.example', 'eve@example.org', 'joe@example.org'],
    ]);
    const [{ subject, text }] = only('joe@example.org');
    expect(subject).toBe(`Re: [Tidemark] #${id}: It does not work`);
    expect(text).toContain('  cc: carol@elsewhere.example → dan@elsewhere.example\n  owner: ann → bob\n\nmine\n');
    expect(text).toContain('You get this as reporter, one who changed it before.');
    expect(only('ann@example.org')[0].text).toContain('You get this as previous owner.');
  });

  it('shows what has changed in a long text as a diff', async () => {
    const lines = Array.from({ length: 30 }, (_, n) => `line ${n}`);
    const id = await ticket('joe', { description: lines.join('\n') });
    lines[20] = 'another line';
    await as('ann', 'PATCH', `/tickets/${id}`, { description: lines.join('\n') });
    await quiet();
    expect(only('joe@example.org')[0].text).toContain('\n line 19\n-line 20\n+another line\n line 21\n');
    expect(only('joe@example.org')[0].text).not.toContain('line 5\n');
  });

  it('about which a comment is made, or that is deleted, tells so; edited comments tell nobody', async () => {
    const id = await ticket('joe');
    await as('ann', 'PATCH', `/tickets/${id}`, { comment: 'Öfter?' });
    await quiet();
    await owner.query(`UPDATE ticket_comment SET text = 'oft?' WHERE ticket_id = ${id}`);
    await server.ask(`/tickets/${id}`, { method: 'DELETE' });
    await quiet();
    const texts = only('joe@example.org').map(({ text }) => text.split('\n-- ')[0]);
    expect(texts).toEqual([
      `ann has commented on ticket ${id}: It does not work\n\nComment 1:\n\nÖfter?\n`,
      `admin has deleted ticket ${id}: It does not work\n`,
    ]);
  });

  it('is one thread: every mail refers to the same Message-ID, and has one of its own', async () => {
    const id = await ticket('joe', { owner: 'ann' });
    await as('bob', 'PATCH', `/tickets/${id}`, { priority: 'minor' });
    await quiet();
    const headers = sink.mails.map((mail) => mail.headers);
    const { epoch } = server.kernel;
    for (const one of headers) {
      expect(one).toMatchObject({
        'in-reply-to': `<ticket-${id}@${epoch}.tidemark>`,
        references: `<ticket-${id}@${epoch}.tidemark>`,
      });
      expect(one['message-id']).toMatch(`@${epoch}.tidemark>`);
      expect(one['x-tidemark-effect']).toMatch(new RegExp(`^\\d+:ticket:${id}:mail$`));
    }
    expect(headers).toHaveLength(3);
    expect(new Set(headers.map((one) => one['message-id'])).size).toBe(3);
  });
});

describe('nobody gets mail', () => {
  it('who wants none, is disabled, or may not read tickets', async () => {
    expect(await (await as('bob', 'PUT', '/me/notifications', { mail: false })).json()).toEqual({
      ...{ mail: false, own_changes: false, address: 'bob@example.org' },
    });
    await disableUser(owner, 'eve');
    await ticket('joe', { owner: 'bob', cc: 'bob@example.org, eve, eve@example.org, stranger, ann' });
    expect(await sent()).toEqual(['ann@example.org']);
    await as('bob', 'PUT', '/me/notifications', { mail: true });
    await disableUser(owner, 'eve', false);
  });

  it('about its own changes, but who wants it', async () => {
    await as('joe', 'PUT', '/me/notifications', { own_changes: true });
    await ticket('joe');
    expect(await sent()).toEqual(['joe@example.org']);
    await as('joe', 'PUT', '/me/notifications', { own_changes: false });
    await ticket('joe', { cc: 'JOE@example.org' });
    expect(await sent()).toEqual(['joe@example.org']);
  });

  it('about a muted change', async () => {
    await owner.query(`BEGIN; SELECT set_config('tidemark.actor', '{"author":"i","meta":{"effects":false}}', true);
      INSERT INTO ticket (summary, owner) VALUES ('quiet', 'joe'); COMMIT`);
    expect(await sent()).toEqual([]);
  });
});

describe('mail of a page', () => {
  it('goes to those who watch it, through renames, up to its end', async () => {
    const name = encodeURIComponent('Über/uns');
    await as('joe', 'PUT', `/wiki/${name}`, { text: 'one\n' });
    expect(await (await as('ann', 'PUT', `/wiki/${name}/watch`)).json()).toEqual({ name: 'Über/uns', watching: true });
    await as('joe', 'PUT', `/wiki/${name}/watch`);
    await as('joe', 'PUT', `/wiki/${name}`, { text: 'two\n', comment: 'better' });
    await as('joe', 'POST', `/wiki/${name}/rename`, { to: 'About' });
    expect(await watched('ann')).toEqual(['About']);
    await as('joe', 'DELETE', '/wiki/About');
    await quiet();
    expect(sink.mails.map(({ to, subject, text }) => [to[0], subject, text.split('\n-- ')[0]])).toEqual([
      [
        'ann@example.org',
        '[Tidemark] Wiki: Über/uns',
        'joe has changed the page Über/uns\n\nbetter\n\n' +
          '--- text\tversion 1\n+++ text\tversion 2\n@@ -1,1 +1,1 @@\n-one\n+two\n\n',
      ],
      ['ann@example.org', '[Tidemark] Wiki: About', 'joe has renamed the page Über/uns to About\n'],
      ['ann@example.org', '[Tidemark] Wiki: About', 'joe has deleted the page About\n'],
    ]);
    expect(await watched('ann')).toEqual([]);
    expect((await as('ann', 'PUT', '/wiki/About/watch')).status).toBe(404);
  });

  it('ends with the watch, and is not journaled', async () => {
    await as('joe', 'PUT', '/wiki/Watched', { text: '1' });
    const head = async () => (await owner.query('SELECT max(tid) AS head FROM tidemark.journal')).rows[0]?.['head'];
    const before = await head();
    const put = await as('ann', 'PUT', '/wiki/Watched/watch');
    expect([put.status, put.headers.get('tidemark-tid')]).toEqual([200, null]);
    expect((await as('ann', 'PUT', '/wiki/Watched/watch')).status).toBe(200);
    expect(await (await as('ann', 'DELETE', '/wiki/Watched/watch')).json()).toEqual({
      name: 'Watched',
      watching: false,
    });
    expect((await as('ann', 'DELETE', '/wiki/Watched/watch')).status).toBe(200);
    expect((await as('ann', 'DELETE', '/wiki/Unknown/watch')).status).toBe(404);
    expect(await head()).toBe(before);
    await as('joe', 'PUT', '/wiki/Watched', { text: '2' });
    expect(await sent()).toEqual([]);
  });
});

describe('what others have written cannot', () => {
  it('add a header, a recipient or a command to a mail', async () => {
    const evil = 'x\r\nBcc: eve@example.org\r\n\r\n.\r\nMAIL FROM:<a@b>\r\n\u2028\u0085 =?utf-8?q?=0d=0aBcc:_eve?=';
    await owner.query('INSERT INTO ticket (summary, owner, cc, description) VALUES ($1, $2, $3, $4)', [
      ...[evil, 'ann', 'bob@example.org\r\nBcc:eve@example.org>, <joe@example.org>\r\nDATA', `.\r\n${evil}`],
    ]);
    // "Bcc:eve@…" is no address, and what stands between blanks is one entry each
    expect(await sent()).toEqual(['ann@example.org', 'bob@example.org', 'joe@example.org']);
    for (const { headers, text, raw } of sink.mails) {
      expect(headers['bcc']).toBeUndefined();
      expect(headers['to']).not.toContain('eve');
      expect(raw.slice(0, raw.indexOf('\r\n\r\n'))).not.toMatch(/^bcc/im);
      expect(text).toContain('MAIL FROM:<a@b>');
    }
  });

  it('make a mail of any size', async () => {
    const id = await ticket('joe', { summary: '漢😀'.repeat(250) });
    await as('ann', 'PATCH', `/tickets/${id}`, { description: 'x😀y\n'.repeat(60_000) });
    await quiet();
    const [{ subject, text, raw }] = only('joe@example.org');
    expect([...subject].length).toBeLessThanOrEqual(201);
    expect(subject).toContain('漢😀漢😀');
    expect(text).toMatch(/\[… \d+ more characters: see the history\]/);
    expect(raw.length).toBeLessThan(600_000);
  });
});

interface LedgerRow {
  readonly state: string;
  readonly attempts: number;
  readonly last_error: string | null;
}

async function ledgerRow(id: string): Promise<LedgerRow> {
  const { rows } = await owner.query<LedgerRow>(
    `SELECT state, attempts, last_error FROM tidemark.effects WHERE listener = 'mail' AND resource = 'ticket' AND id = $1`,
    [id],
  );
  return rows[0] as LedgerRow;
}

async function hurry(): Promise<void> {
  await owner.query(`UPDATE tidemark.effects SET due = now() WHERE state = 'failed'`);
}

describe('a mail server', () => {
  it('that is out of order three times gets the mail at the fourth attempt, under the same Message-ID', async () => {
    const ids: (string | undefined)[] = [];
    sink.onMail = ({ headers }) => {
      ids.push(headers['message-id']);
      if (ids.length <= 3) throw refusal(451, 'try again later');
    };
    const id = await ticket('joe', { owner: 'ann' });
    await waitUntil(
      async () => {
        await hurry();
        return sink.mails.length === 1;
      },
      'the mail has come',
      30_000,
    );
    await quiet();
    expect(await ledgerRow(id)).toEqual({ state: 'done', attempts: 4, last_error: null });
    expect([ids.length, new Set(ids).size]).toEqual([4, 1]);
  });

  it('that puts one recipient off gets the mail for that one again, and for no other', async () => {
    let refused = 0;
    sink.onRcptTo = (address) => {
      if (address === 'bob@example.org' && refused++ < 2) throw refusal(450, 'greylisted');
    };
    const id = await ticket('joe', { owner: 'ann', cc: 'bob, carol@elsewhere.example' });
    await waitUntil(
      async () => {
        await hurry();
        return sink.mails.length === 3;
      },
      'all have it',
      30_000,
    );
    expect(await sent()).toEqual(['ann@example.org', 'bob@example.org', 'carol@elsewhere.example']);
    expect(await ledgerRow(id)).toMatchObject({ state: 'done', attempts: 3 });
  });

  it('that refuses one recipient for good is not asked again, and the reason is kept', async () => {
    sink.onRcptTo = (address) => {
      if (address === 'bob@example.org') throw refusal(550, 'no such user');
    };
    const id = await ticket('joe', { owner: 'ann', cc: 'bob' });
    expect(await sent()).toEqual(['ann@example.org']);
    expect(await ledgerRow(id)).toMatchObject({ state: 'done', attempts: 1 });
    const { rows } = await owner.query(
      'SELECT recipient, refused FROM tidemark.mails WHERE id = $1 ORDER BY recipient',
      [id],
    );
    expect(rows).toEqual([
      { recipient: 'ann@example.org', refused: null },
      { recipient: 'bob@example.org', refused: expect.stringContaining('550 no such user') },
    ]);
  });

  it('that refuses everybody has the effect parked, and gets all of it when somebody tries again', async () => {
    sink.onRcptTo = () => {
      throw refusal(554, 'relay access denied');
    };
    const id = await ticket('joe', { owner: 'ann', cc: 'bob' });
    await waitUntil(async () => (await ledgerRow(id))?.state === 'parked', 'it is parked');
    expect(await ledgerRow(id)).toMatchObject({
      attempts: 1,
      last_error: expect.stringContaining('relay access denied'),
    });
    delete sink.onRcptTo;
    expect(await retryEffects(owner, { listener: 'mail' })).toBe(1);
    await waitUntil(() => sink.mails.length === 2, 'both have it');
  });
});

it('without a mail server nothing is sent, and the log says so once', async () => {
  const other = await testServer(database.url);
  const said = other.lines.filter(({ message }) => message.includes('SMTP_URL'));
  await other.close();
  expect(said).toEqual([{ level: 'info', about: {}, message: 'no mail is sent: SMTP_URL is not set' }]);
});

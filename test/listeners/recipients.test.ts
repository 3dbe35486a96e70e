import { describe, expect, it } from '@jest/globals';
import { addressIn, bodyText, headerLine, messageId, threadId } from '../../libs/listeners/mail/mail-words.ts';
import { type MailUser, recipientsOf } from '../../libs/listeners/mail/recipients.ts';

const user = (name: string, more: Partial<MailUser> = {}): MailUser => ({
  ...{ name, email: `${name}@example.org`, willing: true, own: false, ...more },
});

function sent(author: string, who: string[], users: MailUser[]): string[] {
  const concerned = who.map((one, n) => ({ who: one, why: `reason ${n}` }));
  const notice = { author, concerned, resource: 'ticket', thread: 't', subject: 's', text: '', reply: false };
  return recipientsOf(notice, users).map(({ address }) => address);
}

describe('the recipients of a notice', () => {
  it('are the addresses of named users, and addresses as they stand', () => {
    expect(sent('x', ['joe', 'Ann@Example.org', '<bob@example.org>', 'nobody', ''], [user('joe')])).toEqual([
      'joe@example.org',
      'Ann@Example.org',
      'bob@example.org',
    ]);
  });

  it('get one mail, whatever the case and however many reasons there are', () => {
    const concerned = [
      { who: 'joe', why: 'owner' },
      { who: 'JOE@example.org', why: 'one in cc' },
      { who: 'joe', why: 'owner' },
    ];
    const notice = { author: 'x', concerned, resource: 'ticket', thread: 't', subject: 's', text: '', reply: false };
    expect(recipientsOf(notice, [user('joe')])).toEqual([
      { address: 'joe@example.org', reasons: ['owner', 'one in cc'] },
    ]);
  });

  it('never include the author, by name or by address, unless that user wants it', () => {
    expect(sent('joe', ['joe', 'Joe@example.org'], [user('joe')])).toEqual([]);
    expect(sent('joe@example.org', ['joe@example.org'], [])).toEqual([]);
    expect(sent('joe', ['joe'], [user('joe', { own: true })])).toEqual(['joe@example.org']);
    expect(sent('joe', ['ann'], [user('joe'), user('ann', { email: 'joe@example.org' })])).toEqual([]);
  });

  it('leave out who is not willing, also where the address stands for itself', () => {
    const joe = user('joe', { willing: false });
    expect(sent('x', ['joe', 'joe@example.org'], [joe])).toEqual([]);
    const ann = user('ann', { email: 'joe@example.org' });
    expect(sent('x', ['joe@example.org'], [joe, ann])).toEqual(['joe@example.org']);
  });

  it('leave out users without an address, and with one that is none', () => {
    expect(sent('x', ['joe', 'ann'], [user('joe', { email: null }), user('ann', { email: 'ann' })])).toEqual([]);
  });
});

describe('an address', () => {
  it.each([
    'joe@example.org',
    'joe@localhost',
    "o'neil+tag@a-b.example.org",
    'jörg@müller.example',
    '用户@例子.example',
  ])('is %s', (text) => expect(addressIn(text)).toBe(text));

  it.each([
    ...[
      'joe',
      '@example.org',
      'joe@',
      'a b@example.org',
      'joe@example.org\r\nBcc: eve@example.org',
      'joe@exa\nmple.org',
    ],
    ...['joe@example.org,eve@example.org', 'joe@example.org>', '"joe"@example.org', 'joe@example.org\0', 'a@b@c'],
    ...['joe@[127.0.0.1]', 'joe@example..org', '.joe@example.org', 'joe@-example.org', `${'a'.repeat(250)}@b.org`],
    ...['joe@example.org>\r\nDATA', 'joe@example.org SIZE=1', 'joe\u2028@example.org', 'joe@exam\u202eple.org'],
  ])('is not %j', (text) => expect(addressIn(text)).toBeUndefined());
});

describe('a header', () => {
  it('is one line, whatever it is made of', () => {
    expect(headerLine('a\r\nBcc: eve@example.org\n\n\u2028b\u0085c\td')).toBe('a Bcc: eve@example.org b c d');
    expect(headerLine('\ud800x')).toBe('\ufffdx');
  });

  it('is cut, not within a character', () => {
    expect([...headerLine('😀'.repeat(500))]).toHaveLength(200);
    expect(headerLine('x'.repeat(1e7))).toHaveLength(200);
  });
});

it('a body that is too long is cut, and says so', () => {
  expect(bodyText('x'.repeat(100_000))).toHaveLength(100_000);
  expect(bodyText('x'.repeat(100_007))).toMatch(/x\n\n\[… 7 more characters: see the history\]$/);
});

it('a Message-ID depends on effect, address and journal only, and holds nothing that could end it', () => {
  const id = messageId('42:ticket:7:mail', 'joe@example.org', 'cafe0123');
  expect(id).toMatch(/^<42\.ticket\.7\.mail\.[0-9a-f]{16}@cafe0123\.tidemark>$/);
  expect(messageId('42:ticket:7:mail', 'Joe@Example.org', 'cafe0123')).toBe(id);
  const others = [
    messageId('43:ticket:7:mail', 'joe@example.org', 'cafe0123'),
    messageId('42:ticket:7:mail', 'ann@example.org', 'cafe0123'),
    messageId('42:ticket:7:mail', 'joe@example.org', 'cafe0124'),
    messageId('42:ticket_comment:[7,1]:mail', 'joe@example.org', 'cafe0123'),
    messageId(`42:ticket:${'>\r\n'.repeat(999)}:mail`, 'joe@example.org', 'cafe0123'),
  ];
  expect(new Set([id, ...others]).size).toBe(6);
  for (const one of [...others, threadId('ticket-7', 'cafe0123')])
    expect(one).toMatch(/^<[\w.-]{1,120}@\w+\.tidemark>$/);
});

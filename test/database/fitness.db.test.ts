import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { checkFitness } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

let utf8: TestDatabase;
let ascii: TestDatabase;

beforeAll(async () => {
  utf8 = await testDatabase({ migrated: false });
  ascii = await testDatabase({ migrated: false, encoding: 'SQL_ASCII' });
});

afterAll(async () => {
  await utf8.drop();
  await ascii.drop();
});

describe('a database', () => {
  it('is fit when it is UTF-8 on a supported PostgreSQL', async () => {
    await expect(checkFitness(utf8.ownerUrl)).resolves.toBeUndefined();
  });

  it('is refused when it is not UTF-8', async () => {
    await expect(checkFitness(ascii.ownerUrl)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/SQL_ASCII.*UTF8/),
    });
  });

  it('is refused by name when it does not exist', async () => {
    const url = new URL(utf8.ownerUrl);
    url.pathname = '/no_such_database';
    await expect(checkFitness(url.href)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('no_such_database'),
    });
  });

  it('is refused when the role does not exist, without showing the password', async () => {
    const url = new URL(utf8.ownerUrl);
    url.username = 'no_such_role';
    url.password = 'secret-word';
    const error = await checkFitness(url.href).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'configuration', message: expect.stringContaining('no_such_role') });
    expect(String(error)).not.toContain('secret-word');
  });

  it('is refused when its URL is none', async () => {
    await expect(checkFitness('postgres://:::/')).rejects.toMatchObject({ code: 'configuration' });
  });

  it('is unavailable when nobody answers, on TCP or on a socket', async () => {
    for (const url of ['postgres://me@127.0.0.1:1/db', 'postgres://me@localhost/db?host=/no/such/folder']) {
      await expect(checkFitness(url)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/not reachable: connect/),
      });
    }
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KernelError } from '#libs/database';
import { configFlags, type Environment, type Flags, loadConfig, readEnvironment } from '#libs/kernel';

function refusal(env: Environment, flags: Flags = {}): string {
  try {
    loadConfig(env, flags);
  } catch (error) {
    expect(error).toBeInstanceOf(KernelError);
    expect((error as KernelError).code).toBe('configuration');
    return (error as KernelError).message;
  }
  throw new Error('it was accepted');
}

describe('a configuration', () => {
  it('has the documented defaults', () => {
    expect(loadConfig({})).toEqual({
      databaseUrl: undefined,
      databaseOwnerUrl: undefined,
      host: '127.0.0.1',
      port: 3000,
      logLevel: 'info',
      smtpUrl: undefined,
      dataDir: resolve('.tidemark'),
      adminToken: undefined,
      poolSize: 10,
      effectKeepDays: 7,
      propagationKeepDays: 90,
      checkRowsPerSecond: 1000,
      mailFrom: undefined,
      trustedProxies: [],
      webhookAllow: [],
      testImage: 'postgres:18-alpine',
      plugins: [],
      pluginVariables: {},
    });
  });

  it('is frozen', () => {
    const config = loadConfig({ TIDEMARK_TRUSTED_PROXIES: 'loopback' });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.trustedProxies)).toBe(true);
    expect(Object.isFrozen(config.pluginVariables)).toBe(true);
  });

  it('reads every variable', () => {
    const config = loadConfig({
      DATABASE_URL: 'postgres://app:secret@db/tidemark',
      DATABASE_OWNER_URL: 'postgresql://owner@db:5433/tidemark?sslmode=require',
      TIDEMARK_DIRECT_URL: 'postgres://app:secret@db:5434/tidemark',
      HOST: '::',
      PORT: '0',
      LOG_LEVEL: 'silent',
      SMTP_URL: 'smtps://user:secret@mail:465',
      TIDEMARK_DATA_DIR: '/var/lib/tidemark',
      TIDEMARK_ADMIN_TOKEN: 'open-sesame',
      TIDEMARK_POOL_SIZE: '25',
      TIDEMARK_MAIL_FROM: 'Tidemark <tidemark@example.org>',
      TIDEMARK_TRUSTED_PROXIES: '10.0.0.0/8, fd00::/8 ,loopback',
      TIDEMARK_WEBHOOK_ALLOW: 'hooks.example.org,192.168.1.0/24',
      TIDEMARK_TEST_IMAGE: 'postgres:17',
      TIDEMARK_TEST_LONG: '1',
      TIDEMARK_PLUGINS: './chat.js, @my/plugin,',
      TIDEMARK_PLUGIN_CHAT_ROOM: 'lobby',
    });
    expect(config).toMatchObject({
      databaseUrl: 'postgres://app:secret@db/tidemark',
      directUrl: 'postgres://app:secret@db:5434/tidemark',
      port: 0,
      logLevel: 'silent',
      dataDir: '/var/lib/tidemark',
      poolSize: 25,
      trustedProxies: ['10.0.0.0/8', 'fd00::/8', 'loopback'],
      webhookAllow: ['hooks.example.org', '192.168.1.0/24'],
      plugins: ['./chat.js', '@my/plugin'],
      pluginVariables: { TIDEMARK_PLUGIN_CHAT_ROOM: 'lobby' },
    });
  });

  it('takes a socket as the address of a database', () => {
    const url = 'postgres://joe@/tidemark?host=/run/postgresql';
    expect(refusal({ DATABASE_URL: 'joe@host/tidemark' })).toContain('postgres://user:password@host');
    expect(loadConfig({ DATABASE_URL: url }).databaseUrl).toBe(url);
    expect(loadConfig({ DATABASE_URL: 'postgres:///tidemark?host=/run/postgresql' }).databaseUrl).toBeDefined();
  });

  it('counts an empty value as not given', () => {
    expect(loadConfig({ PORT: '', DATABASE_URL: '', TIDEMARK_PLUGINS: '' })).toEqual(loadConfig({}));
  });

  it('lets a flag win over the environment, however it is spelled', () => {
    const env = { PORT: '1', TIDEMARK_DATA_DIR: '/a' };
    expect(loadConfig(env, { port: 3001, dataDir: '/b' })).toMatchObject({ port: 3001, dataDir: '/b' });
    expect(loadConfig(env, { PORT: '3001', 'tidemark-data-dir': '/b' })).toMatchObject({
      port: 3001,
      dataDir: '/b',
    });
    expect(loadConfig(env, { port: undefined })).toMatchObject({ port: 1 });
  });

  it('names a flag for each setting that is not for the tests alone', () => {
    expect(configFlags.map(({ flag }) => flag)).toEqual(
      expect.arrayContaining(['database-url', 'port', 'data-dir', 'pool-size', 'log-level']),
    );
    expect(configFlags.filter(({ variable }) => variable.startsWith('TIDEMARK_TEST'))).toEqual([]);
  });
});

describe('a configuration is refused', () => {
  it.each([
    ['TIDEMARK_POOLSIZE', '5', 'TIDEMARK_POOLSIZE is not a setting of Tidemark. Did you mean TIDEMARK_POOL_SIZE?'],
    ['TIDEMARK_PORT', '5', 'TIDEMARK_PORT is not a setting of Tidemark. Did you mean PORT?'],
    ['TIDEMARK_DATABASE_URL', 'x', 'TIDEMARK_DATABASE_URL is not a setting of Tidemark. Did you mean DATABASE_URL?'],
    ['TIDEMARK_XYLOPHONE', '5', 'TIDEMARK_XYLOPHONE is not a setting of Tidemark.'],
    ['PORT', '65536', 'PORT is "65536", which is not a whole number from 0 to 65535.'],
    ['PORT', '-1', 'PORT is "-1", which is not a whole number from 0 to 65535.'],
    ['PORT', '3e3', 'PORT is "3e3", which is not a whole number from 0 to 65535.'],
    ['TIDEMARK_POOL_SIZE', '1', 'TIDEMARK_POOL_SIZE is "1", which is not a whole number from 2 to 1000.'],
    ['LOG_LEVEL', 'warning', 'which is none of silent, fatal, error, warn, info, debug, trace. Did you mean warn?'],
    ['HOST', 'no such', 'HOST is "no such", which is neither an address nor a host name.'],
    ['SMTP_URL', 'mail:25', 'SMTP_URL is not a mail server URL'],
    ['TIDEMARK_MAIL_FROM', 'nobody', 'TIDEMARK_MAIL_FROM is "nobody", which is not a mail address.'],
    ['TIDEMARK_TRUSTED_PROXIES', '10.0.0.0/33', 'TIDEMARK_TRUSTED_PROXIES holds "10.0.0.0/33"'],
    ['TIDEMARK_WEBHOOK_ALLOW', '10.0.0.0/33', 'TIDEMARK_WEBHOOK_ALLOW holds "10.0.0.0/33"'],
    ['TIDEMARK_WEBHOOK_ALLOW', 'a.org, 10.0.0.256', 'TIDEMARK_WEBHOOK_ALLOW holds "10.0.0.256"'],
    ['TIDEMARK_WEBHOOK_ALLOW', 'https://a.org', 'TIDEMARK_WEBHOOK_ALLOW holds "https://a.org"'],
    ['TIDEMARK_ADMIN_TOKEN', 'two words', 'TIDEMARK_ADMIN_TOKEN holds a space'],
    ['TIDEMARK_DIRECT_URL', 'postgres://app@db/x', 'TIDEMARK_DIRECT_URL is set and DATABASE_URL is not'],
    ['DATABASE_OWNER_URL', 'postgres://owner@db/x', 'DATABASE_OWNER_URL is set and DATABASE_URL is not'],
  ])('for %s=%s', (name, value, message) => {
    expect(refusal({ [name]: value })).toContain(message);
  });

  it('for an unknown flag', () => {
    expect(refusal({}, { 'data-dri': 'x' })).toBe(
      '--data-dri is not a setting of Tidemark. Did you mean TIDEMARK_DATA_DIR?',
    );
  });

  it('with all its mistakes at once', () => {
    expect(refusal({ PORT: 'x', LOG_LEVEL: 'y', TIDEMARK_POOL_SIZE: 'z' }).split('\n')).toHaveLength(3);
  });

  it('without repeating a password', () => {
    expect(refusal({ DATABASE_URL: 'mysql://joe:secret@db/x', SMTP_URL: 'joe:secret' })).not.toContain('secret');
  });
});

describe('the environment', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-env-'));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('is that of the process over the .env file', async () => {
    await writeFile(join(folder, '.env'), 'TIDEMARK_POOL_SIZE=7 # enough\nPATH=/nowhere\n');
    const env = readEnvironment(folder);
    expect(env['TIDEMARK_POOL_SIZE']).toBe(process.env['TIDEMARK_POOL_SIZE'] ?? '7');
    expect(env['PATH']).toBe(process.env['PATH']);
  });

  it('is that of the process alone when there is no .env file', () => {
    expect(readEnvironment(join(folder, 'nowhere'))).toEqual({ ...process.env });
  });

  it('is refused when .env is not a file', () => {
    expect(() => readEnvironment('/dev/null')).toThrow(KernelError);
  });
});

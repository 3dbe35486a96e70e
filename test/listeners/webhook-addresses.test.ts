import { describe, expect, it } from '@jest/globals';
import { WebhookAddresses } from '#libs/listeners';

const PRIVATE = [
  ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1'],
  ...['172.31.255.255', '192.0.0.8', '192.0.2.1', '192.88.99.1', '192.168.1.1', '198.18.0.1', '198.51.100.1'],
  ...['203.0.113.9', '224.0.0.1', '255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::127.0.0.1'],
  ...['::ffff:10.0.0.1', '64:ff9b::7f00:1', '64:ff9b:1::1', '100::1', '2001::1', '2001:db8::1', '2002:7f00:1::1'],
  ...['3fff::1', '5f00::1', 'fc00::1', 'fd12:3456::1', 'fe80::1', 'fe80::1%lo', 'fec0::1', 'ff02::1'],
];
const PUBLIC = ['1.1.1.1', '9.9.9.9', '100.63.255.255', '172.32.0.1', '192.169.0.1', '2606:4700::1111', '2a01:4f8::1'];

describe('addresses that webhooks may call', () => {
  it.each(PRIVATE)('not %s', (address) => {
    expect(new WebhookAddresses().allows('hooks.example.org', address)).toBe(false);
  });

  it.each(PUBLIC)('%s', (address) => {
    expect(new WebhookAddresses().allows('hooks.example.org', address)).toBe(true);
  });

  it('those of networks that are allowed, and no others beside', () => {
    const addresses = new WebhookAddresses(['10.1.0.0/16', '127.0.0.1', 'fd00::/8']);
    const allowed = PRIVATE.filter((address) => addresses.allows('hooks.example.org', address));
    expect(allowed).toEqual(['10.1.2.3', '127.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1', 'fd12:3456::1']);
  });

  it('all of a host that is allowed by its name, and none of its neighbours', () => {
    const addresses = new WebhookAddresses(['Intranet.example.org']);
    expect(addresses.allows('intranet.example.org', '10.1.2.3')).toBe(true);
    expect(addresses.allows('INTRANET.example.org.', '10.1.2.3')).toBe(true);
    expect(addresses.allows('x.intranet.example.org', '10.1.2.3')).toBe(false);
    expect(addresses.allows('example.org', '10.1.2.3')).toBe(false);
  });

  it('what is no address is none', () => {
    expect(new WebhookAddresses().allows('hooks.example.org', 'hooks.example.org')).toBe(false);
  });

  // The spellings of an address that URL knows: all of them are this machine.
  it.each([
    ...['127.0.0.1', '127.1', '0x7f.1', '2130706433', '017700000001', 'localhost', 'LocalHost.', 'a.localhost'],
    ...['[::1]', '[::ffff:127.0.0.1]', '[0:0:0:0:0:ffff:7f00:1]'],
  ])('http://%s/ is seen through before anybody connects', (host) => {
    const { hostname } = new URL(`http://${host}/`);
    expect(new WebhookAddresses().problem(hostname)).toMatch(
      /is not on the public internet: only what TIDEMARK_WEBHOOK_ALLOW/,
    );
    expect(new WebhookAddresses(['127.0.0.1', '::1']).problem(hostname)).toBeUndefined();
  });

  it('a name is not judged before it is looked up', () => {
    expect(new WebhookAddresses().problem('hooks.example.org')).toBeUndefined();
  });
});

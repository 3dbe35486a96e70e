import { BlockList, isIP } from 'node:net';

/** Networks that are not the public internet, by their first address and the length of their prefix (RFC 6890 and its successors). */
const PRIVATE_IPV4 = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ...['224.0.0.0/4', '240.0.0.0/4'],
];
/** Only 2000::/3 is given out; of that, what leads to IPv4 (Teredo, 6to4) and what is for documents is not public. */
const PRIVATE_IPV6 = ['::/3', '4000::/2', '8000::/1', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

// A list apart for each family: node takes an IPv4 address for one of ::ffff:0:0/96, too, and that is not public.
const refused = { ipv4: blockList(PRIVATE_IPV4), ipv6: blockList(PRIVATE_IPV6) };

/** Which addresses webhooks may call: public ones, those of networks that are allowed, and any of a host that is allowed by its name. */
export class WebhookAddresses {
  readonly #allowed: { readonly ipv4: BlockList; readonly ipv6: BlockList };
  readonly #hosts: ReadonlySet<string>;

  /** `allowed`: addresses, networks (10.0.0.0/8) and names of hosts. */
  constructor(allowed: readonly string[] = []) {
    const networks = allowed.filter((entry) => isIP(entry.split('/')[0] ?? '') !== 0);
    const ipv4 = networks.filter((entry) => !entry.includes(':'));
    this.#allowed = { ipv4: blockList(ipv4), ipv6: blockList(networks) };
    this.#hosts = new Set(allowed.filter((entry) => !networks.includes(entry)).map((host) => host.toLowerCase()));
  }

  /** Whether a host (of a URL, so an IPv6 address may stand in brackets) may be called at an address. */
  allows(host: string, address: string): boolean {
    if (this.#hosts.has(bareHost(host))) return true;
    const [plain = ''] = address.split('%');
    const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(plain) === 0) return false;
    return !refused[family].check(plain, family) || this.#allowed[family].check(plain, family);
  }

  /** Why the host of a URL can never be called, where that shows without asking for its address. */
  problem(host: string): string | undefined {
    const bare = bareHost(host);
    const named = bare === 'localhost' || bare.endsWith('.localhost');
    const address = isIP(bare) !== 0 ? bare : named ? '127.0.0.1' : undefined;
    return address === undefined || this.allows(host, address) ? undefined : refusal(bare);
  }
}

/** A host without the brackets of an IPv6 address and without the dot that may end a name. */
export function bareHost(host: string): string {
  return host
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
}

/** Says that an address, or a host, is not called. */
export function refusal(what: string): string {
  return `${what} is not on the public internet: only what TIDEMARK_WEBHOOK_ALLOW names is called there`;
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    list.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family);
  }
  return list;
}

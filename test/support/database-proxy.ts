import net from 'node:net';

export interface DatabaseProxy {
  /** The database as it is reached through the proxy. */
  readonly url: string;
  /**
   * Keeps back what the server says from the next COMMIT on over a connection on which it was told a text: of a program that commits other
   * things, too. Resolves when there was one.
   */
  holdAfterCommit(text: string): Promise<void>;
  close(): Promise<void>;
}

/** Stands between a program and PostgreSQL, and can keep the news of a commit from the program. */
export async function databaseProxy(url: string): Promise<DatabaseProxy> {
  const sockets = new Set<net.Socket>();
  let sought: { text: string; committed: () => void } | undefined;
  const server = net.createServer((client) => {
    const upstream = net.connect(addressOf(url));
    let told = false;
    let held = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => socket.destroy());
    }
    client.on('close', () => upstream.destroy());
    client.on('data', (bytes) => {
      told ||= sought !== undefined && bytes.includes(sought.text);
      upstream.write(bytes);
    });
    upstream.on('close', () => client.destroy());
    upstream.on('data', (bytes) => {
      if (sought && told && bytes.includes('COMMIT\0')) {
        held = true;
        sought.committed();
        sought = undefined;
      }
      if (!held) client.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: throughPort(url, (server.address() as net.AddressInfo).port),
    holdAfterCommit(text) {
      const { promise, resolve } = Promise.withResolvers<void>();
      sought = { text, committed: resolve };
      return promise;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Where the server of a PostgreSQL URL listens. */
export function addressOf(text: string): net.NetConnectOpts {
  const url = new URL(text);
  const folder = url.searchParams.get('host');
  const port = Number(url.port || url.searchParams.get('port') || 5432);
  if (folder?.startsWith('/')) return { path: `${folder}/.s.PGSQL.${port}` };
  return { host: folder ?? url.hostname, port };
}

/** The same database, reached through a port of this machine. */
export function throughPort(text: string, port: number): string {
  const { username, password, pathname } = new URL(text);
  return `postgres://${username}:${password}@127.0.0.1:${port}${pathname}`;
}

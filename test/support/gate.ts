import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { addressOf, throughPort } from './database-proxy.ts';

/** A way to a PostgreSQL server that can be shut for a while. */
export interface Gate {
  /** The same database, through the gate. */
  url(of: string): string;
  /** How many connections wait. */
  readonly waiting: number;
  /** Lets in those that wait, and all to come. */
  open(): void;
  close(): Promise<void>;
}

/** Stands before the server of a URL: the first connections pass, the others wait until it is opened. */
export async function gateBefore(target: string, passing: number): Promise<Gate> {
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let open = false;
  let came = 0;
  const server = createServer((client) => {
    const pass = () => {
      const onward = connect(addressOf(target));
      client.pipe(onward).pipe(client);
      for (const socket of [client, onward]) {
        sockets.add(socket);
        socket.on('error', () => [client, onward].map((each) => each.destroy()));
      }
    };
    came += 1;
    if (open || came <= passing) pass();
    else held.push(pass);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    get waiting() {
      return held.length;
    },
    url: (of) => throughPort(of, port),
    open() {
      open = true;
      for (const pass of held.splice(0)) pass();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

import { connect } from 'node:net';

/** The clients: so many event streams, each of which notes when it is told of each tid (ns of the machine's monotonic clock). */
const [url, token, count] = process.argv.slice(2) as [string, string, string];
const { hostname, port } = new URL(url);
const HEAD = `GET /journal/stream HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${token}\r\n\r\n`;

let tids: number[] = [];
let times: number[] = [];

/** Opens one stream; resolves when its first bytes have come. */
function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(HEAD));
    let rest = '';
    socket.setEncoding('utf8').on('error', reject);
    socket.once('close', () => reject(new Error('the server has ended a stream')));
    socket.on('data', (chunk: string) => {
      const now = Number(process.hrtime.bigint());
      // plain HTTP: a parser for 300 streams would take more of the machine than the server that is measured
      const text = rest + chunk;
      if (rest === '' && chunk.startsWith('HTTP/') && !chunk.startsWith('HTTP/1.1 200')) reject(new Error(chunk));
      resolve();
      const end = text.lastIndexOf('\n\n');
      rest = end < 0 ? text : text.slice(end);
      if (end < 0) return;
      for (const [, tid] of text.slice(0, end).matchAll(/^data: \{"tid":(\d+),/gm)) {
        tids.push(Number(tid));
        times.push(now);
      }
    });
  });
}

await Promise.all(Array.from({ length: Number(count) }, open));

// 'collect' hands over what was noted since the last time; a closed channel ends the process
process.on('message', () => {
  process.send?.({ tids: Float64Array.from(tids), times: Float64Array.from(times) });
  tids = [];
  times = [];
});
process.once('disconnect', () => process.exit());
process.send?.('open');

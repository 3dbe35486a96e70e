import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace('whsec_', ''), 'base64');
const seen = new Set(); // in a real receiver a table, written together with what a message brings about

createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures = '' } = request.headers;

  const expected = Buffer.from(`v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`);
  const signed = signatures
    .split(' ')
    .map((text) => Buffer.from(text))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
  const recent = Math.abs(Date.now() / 1000 - Number(timestamp)) < 300;
  if (!signed || !recent) return response.writeHead(401).end();

  if (!seen.has(id)) {
    const { type, data } = JSON.parse(body);
    console.log(`${data.author} made ${type} of ${data.id}`);
    seen.add(id);
  }
  response.writeHead(204).end();
}).listen(process.env.PORT);

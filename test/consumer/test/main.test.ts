import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { it } from 'node:test';
import { testDatabase } from 'tidemark/testing';

it('migrates its databases, opens, and closes when it is told to', async () => {
  await using shop = await testDatabase();
  await using outlet = await testDatabase();
  const child = spawn(process.execPath, [join(import.meta.dirname, '../src/main.js')], {
    env: {
      ...process.env,
      DATABASE_URL: shop.url,
      DATABASE_OWNER_URL: shop.ownerUrl,
      OUTLET_URL: outlet.url,
      OUTLET_OWNER_URL: outlet.ownerUrl,
      PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  let said = '';
  for await (const text of child.stdout) {
    said += String(text);
    const url = /open at (http:\S+)/.exec(said)?.[1];
    if (url === undefined) continue;
    const answer = await fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ customer: 'Eva', cents: 1250 }),
    });
    assert.equal(answer.status, 201);
    child.kill('SIGTERM');
    break;
  }
  assert.deepEqual(await ended, [null, 'SIGTERM'], said);
});

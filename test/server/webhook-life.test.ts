import { describe, expect, it } from '@jest/globals';
import { type ReceivedMessage, status } from '../support/webhook-receiver.ts';
import { verified, webhookWorld } from './webhook-fixture.ts';

const world = webhookWorld();

describe('a webhook', () => {
  it('whose secret is rotated signs with both, until the old one has ended', async () => {
    const { id, secret } = await world.hook();
    const { secret: fresh } = await (await world.server.send('POST', `/webhooks/${id}/rotate`, {})).json();
    const signed = (message: ReceivedMessage) => [verified(message, secret), verified(message, fresh)];
    await world.page();
    await world.came(1);
    await world.owner.query(`UPDATE webhook_secret SET expires = now() WHERE webhook_id = $1 AND number = 1`, [id]);
    await world.page();
    await world.came(2);
    expect(world.receiver.messages.map(signed)).toEqual([
      [true, true],
      [false, true],
    ]);
    expect(String(world.receiver.messages[0]?.headers['webhook-signature']).split(' ')).toHaveLength(2);
  });

  it('that is disabled is not told of what happens meanwhile; what was open is parked', async () => {
    const made = await world.hook();
    world.receiver.answer = (response) => status(response, 500);
    const open = await world.page();
    await world.failures(made, 1);
    await world.patch(made.id, { enabled: false });
    await world.page();
    await world.quiet();
    await world.hurry();
    expect((await world.parked(made, open.tid)).last_error).toBe(`webhook ${made.id} is disabled`);
    world.receiver.messages.length = 0;
    world.receiver.answer = (response) => status(response, 200);
    await world.patch(made.id, { enabled: true });
    const later = await world.page(world.other);
    await world.came(1);
    expect(await world.told()).toEqual([`wiki ${later.id} created`]);
  });

  it('whose filter or address is changed follows at once, in every process', async () => {
    const { id } = await world.hook({ filter: { resources: ['ticket'] } });
    const elsewhere = await world.listening();
    await world.page();
    await world.quiet();
    await world.patch(id, { filter: { resources: ['wiki'] }, url: elsewhere.url });
    const made = [await world.page(world.other), await world.page(world.server)];
    await world.came(2, elsewhere);
    await world.quiet();
    expect(elsewhere.messages.map(({ json }) => json.data.id).sort()).toEqual(made.map((one) => one.id).sort());
    expect(world.receiver.messages).toEqual([]);
  });

  it('that is deleted gives up what is open, and leaves nothing behind', async () => {
    const made = await world.hook();
    world.receiver.answer = (response) => status(response, 500);
    await world.page();
    await world.failures(made, 1);
    const deleted = await (await world.server.ask(`/webhooks/${made.id}`, { method: 'DELETE' })).json();
    expect(deleted).toMatchObject({ effects: 1 });
    await world.quiet();
    const before = world.receiver.messages.length;
    await world.page();
    await world.quiet();
    const names = [world.server, world.other].flatMap(({ kernel }) => kernel.effects.names);
    expect(names).not.toContain(made.listener);
    expect((await world.ledgerRow(made)).state).toBe('discarded');
    const { rowCount } = await world.owner.query('SELECT FROM tidemark.listener_positions WHERE listener = $1', [
      made.listener,
    ]);
    expect(rowCount).toBe(0);
    expect(world.receiver.messages).toHaveLength(before);
  });

  it('that is paused as a listener has everything kept for it', async () => {
    const { listener } = await world.hook();
    await world.server.send('POST', `/listeners/${listener}/pause`, {});
    const made = [await world.page(), await world.page(world.other)];
    await world.quiet();
    expect(world.receiver.messages).toEqual([]);
    await world.server.send('POST', `/listeners/${listener}/resume`, {});
    await world.came(2);
    expect((await world.told()).sort()).toEqual(made.map(({ id }) => `wiki ${id} created`).sort());
  });

  it('whose listener is set back is told of what was before it', async () => {
    const { id, tid } = await world.page();
    const { listener } = await world.hook();
    const reset = await world.server.send('POST', `/listeners/${listener}/reset`, { to: tid - 1 });
    expect(reset.status).toBe(200);
    await world.came(1);
    expect(await world.told()).toEqual([`wiki ${id} created`]);
  });

  it('without a secret, as SQL may leave it, says what helps', async () => {
    const made = await world.hook();
    await world.owner.query('DELETE FROM webhook_secret WHERE webhook_id = $1', [made.id]);
    await world.page();
    expect((await world.parked(made)).last_error).toBe(`webhook ${made.id} has no secret: rotate it to give it one`);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compare, defineProjection, type KeyedProjection, type Projection } from '#libs/projection';
import { type Boxes, boxes, contents, moves } from './boxes.ts';

describe('defineProjection', () => {
  it.each<[string, Projection]>([
    ['its name must be small letters, digits and underscores, at most 50', { ...contents, name: 'Box-contents' }],
    ['its version must be a whole number from 1 on', { ...contents, version: 0 }],
    ['it follows nothing', { ...contents, sources: [] }],
    ['it has no key', { ...contents, key: [] }],
    ['it has no table', { ...moves, tables: [] }],
  ])('says that %s', (sentence, definition) => {
    expect(() => defineProjection(definition)).toThrow(
      expect.objectContaining({
        code: 'configuration',
        message: `projection ${JSON.stringify(definition.name)}: ${sentence}`,
      }),
    );
  });
});

describe('a definition that does not fit the database', () => {
  let all: Boxes;
  beforeAll(async () => {
    all = await boxes();
  });
  afterAll(() => all.close());

  it.each<[string, Partial<KeyedProjection>]>([
    ['there is no table boxes', { table: 'boxes' }],
    [
      'projection box_contents: its key (item_id) must be the first columns of the primary key of box_contents, which is (box_id, item_id)',
      { key: ['item_id'] },
    ],
  ])('is refused: %s', async (message, part) => {
    await expect(compare(all.app, { ...contents, ...part })).rejects.toMatchObject({ code: 'configuration', message });
  });

  it.each([
    ['the table public.box is journaled: a projection is computed from the journal, not part of it', `'boxes', 'box'`],
    ['needs a primary key', `'loose', 'loose'`],
    ['a projection cannot be called "Box Contents"', `'Box Contents', 'box_contents'`],
  ])('is not registered: %s', async (message, given) => {
    await all.owner.query('CREATE TABLE IF NOT EXISTS loose (id int)');
    await expect(all.owner.query(`SELECT tidemark.projection(${given})`)).rejects.toThrow(message);
  });
});

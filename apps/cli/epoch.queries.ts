import type { Queryable } from '#libs/database';

/** Gives the journal a new name. For the owner only. */
export async function renewEpoch(owner: Queryable): Promise<string> {
  const { rows } = await owner.query<{ epoch: string }>('SELECT tidemark.renew_epoch() AS epoch');
  return (rows[0] as { epoch: string }).epoch;
}

/** Lets a copy have the name of its original. For the owner only. */
export async function keepEpoch(owner: Queryable): Promise<string> {
  const { rows } = await owner.query<{ epoch: string }>('SELECT tidemark.keep_epoch() AS epoch');
  return (rows[0] as { epoch: string }).epoch;
}

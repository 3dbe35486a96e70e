import { z } from 'zod';
import { FINDING_STATES } from '#libs/integrity';
import { listOf, tid, time } from '../openapi/answer-types.ts';

const at = '2026-11-20T09:30:00.123456Z';
const finding = {
  ...{ id: 12, check_name: 'drift', resource: 'ticket', row_id: '7', field: 'status', kind: 'wrong' },
  ...{ expected: 'new', actual: 'closed', since_tid: 42, state: 'open', first_seen: at, last_seen: at },
  ...{ resolved: null, resolved_by: null, reason: null },
};

const value = () => z.unknown().meta({ description: 'A value, or a whole row; cut when it is long' });

export const FindingAnswer = z
  .object({
    id: z.int(),
    check_name: z.string().meta({ description: 'drift, journal, projection, rebuilt, or a check of a plugin' }),
    resource: z.string().meta({ description: 'What it is about: a resource, or a projection' }),
    row_id: z.string().meta({ description: 'The row; empty when it is about the whole' }),
    field: z.string().nullable(),
    kind: z.string().meta({ description: 'wrong, missing, extra, duplicate, or what the check calls it' }),
    ...{ expected: value(), actual: value() },
    since_tid: tid().nullable().meta({ description: 'Up to this tid all was well, as far as anybody can tell' }),
    state: z
      .enum(FINDING_STATES)
      .meta({ description: 'accepted: it cannot be mended, and somebody has said why it may stay' }),
    ...{ first_seen: time(), last_seen: time(), resolved: time().nullable() },
    resolved_by: z.string().nullable().meta({ description: 'Who has repaired it; null when it was gone by itself' }),
    reason: z.string().nullable(),
  })
  .meta({ id: 'Finding', description: 'A violation of a rule about the data', examples: [finding] });

export const FindingList = listOf('FindingList', FindingAnswer, finding);

export const FindingId = z.string().meta({ description: 'The number of a finding', examples: ['12'] });

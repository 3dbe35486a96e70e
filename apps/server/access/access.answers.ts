import { z } from 'zod';
import { listOf, time } from '../openapi/answer-types.ts';

const roles = z.array(z.string());
const projects = z
  .record(z.string(), z.array(z.string()))
  .meta({ description: 'Roles in single projects, by project' });

export const MeAnswer = z
  .object({ user: z.string(), roles, projects })
  .meta({ id: 'Me', examples: [{ user: 'joe', roles: ['editor'], projects: { gate: ['coordinator'] } }] });

const user = { name: 'joe', email: null, roles: ['editor'], projects: {}, disabled: null };

export const UserAnswer = z
  .object({
    ...{ name: z.string(), email: z.string().nullable(), roles, projects },
    ...{ created: time(), disabled: time().nullable() },
  })
  .meta({ id: 'User' });

export const UserList = listOf('UserList', UserAnswer, { ...user, created: '2026-11-20T09:30:00.123Z' });

const token = {
  ...{ id: 3, prefix: 'tdm_x7Yz', user: 'joe', roles: [], created: '2026-11-20T09:30:00.123Z' },
  ...{ last_used: null, expires: null, revoked: null },
};

export const TokenAnswer = z
  .object({
    id: z.int(),
    prefix: z.string().meta({ description: 'How it begins: enough to tell it from others' }),
    user: z.string(),
    roles: roles.meta({ description: "The most that it lends of its user's roles; empty: all of them" }),
    ...{ created: time(), last_used: time().nullable(), expires: time().nullable(), revoked: time().nullable() },
  })
  .meta({ id: 'Token', description: 'A token, without its text', examples: [token] });

export const TokenList = listOf('TokenList', TokenAnswer, token);

export const TokenId = z.string().meta({ description: 'The id of a token', examples: ['3'] });

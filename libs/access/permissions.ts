import { KernelError } from '#libs/database';
import type { Identity } from './identity.ts';
import { highest, isRole, ROLES, type Role } from './roles.ts';

/** Who may at least: `anyone` needs no token, `user` the token of any user; a role includes those above it. */
export type Least = 'anyone' | 'user' | Role;

/** Of each resource, each action: who may at least, and one line about what it is. */
export type PermissionTable = Readonly<Record<string, Readonly<Record<string, readonly [from: Least, what: string]>>>>;

type Cell<L extends Least> = readonly [from: L, what: string];

/** What there is of productions, in the project that it belongs to. */
function records(what: string) {
  return {
    read: ['viewer', `see ${what}`] as Cell<'viewer'>,
    create: ['coordinator', `make ${what}`] as Cell<'coordinator'>,
    modify: ['coordinator', `change ${what}`] as Cell<'coordinator'>,
    delete: ['coordinator', `delete ${what}; their history stays`] as Cell<'coordinator'>,
  };
}

/** What productions have in common: whoever works on one of them may read it. */
function vocabulary(what: string) {
  return { ...records(what), read: ['user', `see ${what}`] as Cell<'user'> };
}

/** THE permission table. Resources that it does not name follow DEFAULTS. */
const PERMISSIONS = {
  wiki: {
    read: ['viewer', 'see pages: texts, versions, histories, differences, links, names'],
    watch: ['viewer', 'watch pages: get mail of their changes'],
    create: ['editor', 'write a page that does not exist yet'],
    modify: ['editor', 'change the text of a page'],
    rename: ['editor', 'give a page another name'],
    delete: ['editor', 'delete a page; its history stays'],
    protect: ['coordinator', 'make a page readonly or writable again; modify, rename and delete readonly pages'],
  },
  ticket: {
    read: ['viewer', 'see tickets, their comments and histories'],
    create: ['editor', 'open a ticket'],
    modify: ['editor', 'change fields of a ticket, and take its actions'],
    comment: ['editor', 'comment on a ticket'],
    batch: ['coordinator', 'change many tickets at once'],
    delete: ['coordinator', 'delete a ticket; its history stays'],
  },
  project: {
    read: ['viewer', 'see a project, and how far its tasks are'],
    create: ['coordinator', 'begin a project'],
    modify: ['coordinator', 'change a project'],
    delete: ['admin', 'delete a project that holds nothing'],
  },
  sequence: records('sequences'),
  shot: records('shots'),
  asset: records('assets'),
  person: vocabulary('persons who work on tasks'),
  task_type: vocabulary('types of tasks'),
  task_status: vocabulary('statuses of tasks'),
  task: {
    read: ['viewer', 'see tasks and their comments'],
    status: ['editor', 'bring a task to a status, and comment on it'],
    create: ['coordinator', 'make tasks'],
    modify: ['coordinator', 'change fields of a task: who does it, until when'],
    delete: ['coordinator', 'delete a task with its comments; its history stays'],
  },
  task_comment: {
    read: ['viewer', 'see comments on tasks'],
    modify: ['coordinator', 'change a comment, as if it had been so all along'],
    delete: ['coordinator', 'delete a comment, as if it had never been'],
  },
  consistency: {
    read: ['coordinator', 'validate shots and assets, see reports, health and propagations'],
    repair: ['coordinator', 'have projections of shots and assets computed anew'],
  },
  project_rules: {
    read: ['coordinator', 'see the rules that the tasks of a project are to keep'],
    modify: ['coordinator', 'give a project its rules'],
  },
  consistency_repair: {
    read: ['coordinator', 'see in the journal which repairs were applied'],
  },
  journal: {
    read: ['viewer', 'read and follow the feeds, as far as one may read what they tell of'],
  },
  user: {
    own: ['user', 'see who one is, and which roles one has: GET /me; say which mail one wants'],
    manage: ['admin', 'see all users and their roles'],
  },
  token: {
    own: ['user', "see and revoke one's own tokens"],
    manage: ['admin', 'see and revoke the tokens of all users'],
  },
  status: {
    read: ['admin', 'see the tail, processes, listeners, projections and who holds what'],
  },
  effect: {
    read: ['admin', 'see side effects and their state'],
    manage: ['admin', 'retry and discard side effects'],
  },
  listener: {
    read: ['admin', 'see listeners and how far they are'],
    manage: ['admin', 'pause, resume, reset and remove listeners'],
  },
  finding: {
    read: ['admin', 'see what checks of the data have found'],
  },
  webhook: {
    read: ['admin', 'see webhooks and their deliveries'],
    manage: ['admin', 'add, change and remove webhooks'],
  },
  health: {
    read: ['anyone', 'ask whether the process lives and can serve'],
  },
  metrics: {
    read: ['anyone', 'read the figures of the process'],
  },
} as const satisfies PermissionTable;

/** What holds for resources that no table names. */
const DEFAULTS = { read: 'viewer', write: 'editor' } as const;

/** One cell of the table. */
export interface Permission {
  readonly resource: string;
  readonly action: string;
  /** Whether no token is needed, and whether that of a user without a role will do. */
  readonly anyone: boolean;
  readonly user: boolean;
  readonly roles: readonly Role[];
  readonly what: string;
}

const RANKS: readonly Least[] = ['anyone', 'user', ...ROLES];

/** The permission table as one program uses it, perhaps with resources of its own. */
export class Permissions {
  readonly #table: PermissionTable;

  /** The table of this program with further resources. KernelError `configuration` when they change a rule that is there, or name no role. */
  constructor(further: PermissionTable = {}) {
    for (const [resource, actions] of Object.entries(further)) {
      if (Object.hasOwn(PERMISSIONS, resource)) {
        throw new KernelError('configuration', `the permissions of ${resource} are fixed: choose another resource`);
      }
      for (const [action, [from]] of Object.entries(actions)) {
        if (RANKS.includes(from)) continue;
        throw new KernelError(
          'configuration',
          `${resource}:${action} is for "${from}", which is none of ${RANKS.join(', ')}`,
        );
      }
    }
    this.#table = { ...PERMISSIONS, ...further };
  }

  /** Who may at least. An action that the table lacks is `read` or a change, of a resource that it has none at all. */
  least(resource: string, action: string): Least | undefined {
    const actions = Object.hasOwn(this.#table, resource) ? this.#table[resource] : undefined;
    if (actions === undefined) return action === 'read' ? DEFAULTS.read : DEFAULTS.write;
    return Object.hasOwn(actions, action) ? actions[action]?.[0] : undefined;
  }

  /**
   * Whether somebody may do something: with the roles that count in a project, or without one, those that count everywhere. Undefined
   * stands for a request without a token.
   */
  may(identity: Identity | undefined, resource: string, action: string, project?: string | null): boolean {
    const from = this.least(resource, action);
    return from !== undefined && isAtLeast(rankOf(identity, project), from);
  }

  /** Whether somebody may do something everywhere or in one project at least: then each row is to be judged by its project. */
  mayAnywhere(identity: Identity | undefined, resource: string, action: string): boolean {
    if (this.may(identity, resource, action)) return true;
    return [...(identity?.projects.keys() ?? [])].some((project) => this.may(identity, resource, action, project));
  }

  /** Throws `forbidden`, with a sentence that names the permission, when somebody may not. */
  check(identity: Identity | undefined, resource: string, action: string, project?: string | null): void {
    if (!this.may(identity, resource, action, project)) throw this.refusal(identity, resource, action, project);
  }

  /** The error of a permission that is missing. */
  refusal(identity: Identity | undefined, resource: string, action: string, project?: string | null): KernelError {
    const from = this.least(resource, action);
    const whose = from === 'admin' ? 'for admins' : `for the role ${from} and those above`;
    const rank = rankOf(identity, project);
    const has = isRole(rank) ? `the role ${rank}` : 'no role';
    const where = typeof project === 'string' ? ` in the project ${JSON.stringify(project)}` : '';
    return new KernelError(
      'forbidden',
      `this needs the permission ${resource}:${action}, which is ${whose}; ${identity?.user ?? 'nobody'} has ${has}${where}`,
    );
  }

  /** Every cell, in the order of the table. */
  list(): Permission[] {
    return Object.entries(this.#table).flatMap(([resource, actions]) =>
      Object.entries(actions).map(([action, [from, what]]) => ({
        ...{ resource, action, what },
        anyone: from === 'anyone',
        user: from === 'anyone' || from === 'user',
        roles: ROLES.filter((role) => isAtLeast(role, from)),
      })),
    );
  }
}

function rankOf(identity: Identity | undefined, project: string | null | undefined): Least {
  if (identity === undefined) return 'anyone';
  const roles = typeof project === 'string' ? identity.projects.get(project) : undefined;
  return highest(roles ?? identity.roles) ?? 'user';
}

function isAtLeast(rank: Least, from: Least): boolean {
  return RANKS.indexOf(rank) >= RANKS.indexOf(from);
}

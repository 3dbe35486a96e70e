import { defineResource, type Row } from '#libs/journal';
import type { Field, RecordKind, RecordName } from './record-kind.ts';

const name: Field = { type: 'text', limit: 200, required: true };
const label: Field = { type: 'text', limit: 200 };
const description: Field = { type: 'text', limit: 65_536, lines: true };
const count: Field = { type: 'integer', from: 0, to: 1_000_000, nullable: true };
const flag: Field = { type: 'boolean' };
const fixedFlag: Field = { type: 'boolean', fixed: true };
const position: Field = { type: 'integer', from: -1_000_000, to: 1_000_000 };
const ofProject: Field = { type: 'reference', to: 'project', required: true, fixed: true, filter: true };
const entityType: Field = { type: 'choice', of: ['shot', 'asset'] };
const moment: Field = { type: 'moment', derived: true, nullable: true };

const resourceOf = (of: RecordName, project?: 'id' | 'project_id') =>
  defineResource<Row>({ name: of, ...(project === undefined ? {} : { project }) });

export const project: RecordKind = {
  ...{ resource: resourceOf('project', 'id'), name: 'project', id: 'number', project: 'id' },
  fields: { name, description, max_retakes: count },
  dependents: [
    { table: 'sequence', column: 'project_id' },
    { table: 'shot', column: 'project_id' },
    { table: 'asset', column: 'project_id' },
  ],
};

export const sequence: RecordKind = {
  ...{ resource: resourceOf('sequence', 'project_id'), name: 'sequence', id: 'number', project: 'project_id' },
  fields: { project_id: ofProject, name, description },
  dependents: [{ table: 'shot', column: 'sequence_id' }],
};

export const shot: RecordKind = {
  ...{ resource: resourceOf('shot', 'project_id'), name: 'shot', id: 'number', project: 'project_id' },
  fields: {
    project_id: ofProject,
    sequence_id: { type: 'reference', to: 'sequence', nullable: true, filter: true },
    ...{ name, description, frames: count, max_retakes: count, not_applicable: flag },
  },
  dependents: [],
};

export const asset: RecordKind = {
  ...{ resource: resourceOf('asset', 'project_id'), name: 'asset', id: 'number', project: 'project_id' },
  fields: {
    project_id: ofProject,
    ...{ name, kind: { ...label, filter: true }, description, max_retakes: count, not_applicable: flag },
  },
  dependents: [],
};

export const person: RecordKind = {
  ...{ resource: resourceOf('person'), name: 'person', id: 'number' },
  fields: { name, email: label, user_name: { ...label, nullable: true, filter: true }, active: flag },
  dependents: [{ table: 'task', column: 'assignees', list: true }],
};

export const taskType: RecordKind = {
  ...{ resource: resourceOf('task_type'), name: 'task_type', id: 'name' },
  fields: { name, entity_type: { ...entityType, nullable: true, fixed: true }, position, colour: label },
  dependents: [{ table: 'task', column: 'task_type' }],
};

/** What a status means is never changed: the comments that were made with it would come to something else. */
export const taskStatus: RecordKind = {
  ...{ resource: resourceOf('task_status'), name: 'task_status', id: 'name' },
  fields: {
    ...{ name, position, colour: label, is_default: flag, is_wip: fixedFlag, is_feedback: fixedFlag },
    ...{ is_retake: fixedFlag, is_done: fixedFlag, is_not_applicable: fixedFlag },
  },
  dependents: [
    { table: 'task', column: 'status' },
    { table: 'task', column: 'initial_status' },
    { table: 'task_comment', column: 'status' },
  ],
};

export const task: RecordKind = {
  ...{ resource: resourceOf('task', 'project_id'), name: 'task', id: 'number', project: 'project_id' },
  fields: {
    project_id: { ...ofProject, derived: true },
    entity_type: { ...entityType, required: true, fixed: true, filter: true },
    entity_id: { type: 'entity', required: true, fixed: true, filter: true },
    task_type: { type: 'reference', to: 'task_type', required: true, fixed: true, filter: true },
    name: { type: 'text', limit: 200 },
    assignees: { type: 'reference', to: 'person', list: true, filter: true },
    priority: { type: 'integer', from: 0, to: 3 },
    difficulty: { type: 'integer', from: 1, to: 5 },
    due_date: { type: 'day', nullable: true },
    initial_status: { type: 'reference', to: 'task_status', derived: true },
    status: { type: 'reference', to: 'task_status', fixed: true, filter: true },
    retake_count: { type: 'integer', from: 0, to: 1_000_000, derived: true },
    reopened: { type: 'boolean', derived: true },
    ...{ real_start_date: moment, real_end_date: moment, done_date: moment, last_comment_date: moment },
    comments: { type: 'integer', from: 0, to: 1_000_000, derived: true },
  },
  dependents: [],
};

export const taskComment = defineResource<Row>({
  name: 'task_comment',
  key: ['task_id', 'number'],
  project: 'project_id',
});

/** The kinds of records that are made, read, changed and deleted alike, tasks but for what their comments do. */
export const recordKinds = { project, sequence, shot, asset, person, taskType, taskStatus, task };

/** What is journaled of productions. */
export const productionResources = [...Object.values(recordKinds).map(({ resource }) => resource), taskComment];

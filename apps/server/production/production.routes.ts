import { z } from 'zod';
import { entityTaskStatusProjection, recordKinds } from '#libs/resources';
import { type RecordRoutes, recordController } from './record.controller.ts';

const { project, sequence, shot, asset, person, taskType, taskStatus, task } = recordKinds;

const moments = { real_start_date: null, real_end_date: null, done_date: null, last_comment_date: null };
const state = { status: 'todo', retake_count: 0, reopened: false, ...moments };
const ofTask = {
  task_type: 'layout',
  name: 'main',
  assignees: ['7'],
  priority: 1,
  difficulty: 3,
  due_date: '2026-11-20',
};
const detail = { id: '7', ...ofTask, ...state };

export const taskExample = {
  ...{ ...detail, project_id: '1', entity_type: 'shot', entity_id: '1', initial_status: 'todo', comments: 0 },
};

const word = z.string();
const moment = z.string().nullable().meta({ format: 'date-time' });

const TaskDetail = z.object({
  ...{ id: word, task_type: word, name: word, status: word, assignees: z.array(word), priority: z.int() },
  ...{ difficulty: z.int(), due_date: z.string().nullable(), retake_count: z.int(), reopened: z.boolean() },
  ...{ real_start_date: moment, real_end_date: moment, done_date: moment, last_comment_date: moment },
});

/** What a list says of the tasks of a shot or an asset. */
const listed = {
  shape: {
    task_status: z.record(z.string(), z.string()).meta({
      description: 'The status for each type of task; of several tasks of one type, that of the one made first',
    }),
    task_details: z.array(TaskDetail).meta({ description: 'Each task, in the order in which they were made' }),
    progress: z.enum(['not_applicable', 'waiting', 'in_progress', 'final']).meta({
      description: 'What the tasks roll up to: `final` when all that apply are done',
    }),
  },
  example: { task_status: { layout: 'todo' }, task_details: [detail], progress: 'waiting' },
  projection: entityTaskStatusProjection,
};

/** What of a task a comment changes. */
export const commentChanges = {
  status: z.string().optional().meta({ description: 'What it comes to' }),
  comment: z.string().optional().meta({ description: 'What is said with it' }),
  date: z
    .string()
    .optional()
    .meta({
      ...{ format: 'date-time', examples: ['2026-11-20T09:30:00Z'] },
      description:
        'When that was; now, unless given. Before other comments it moves the task as if it had been there all along',
    }),
};

const ofProject = { project_id: '1', name: 'SH010', description: '' };
const ofShot = { sequence_id: '1', frames: 96, max_retakes: null, not_applicable: false };
const flags = { is_default: false, is_wip: false, is_feedback: false, is_retake: false };
const ofStatus = { ...flags, is_done: true, is_not_applicable: false, position: 5, colour: '#00aa00' };

export const RECORD_ROUTES: readonly RecordRoutes[] = [
  {
    ...{ kind: project, path: 'projects', one: 'Project', many: 'Projects' },
    examples: {
      record: { id: '7', name: 'Big Film', description: '', max_retakes: 3 },
      create: { name: 'Small Film', max_retakes: 3 },
      change: { max_retakes: 5 },
    },
  },
  {
    ...{ kind: sequence, path: 'sequences', one: 'Sequence', many: 'Sequences' },
    examples: {
      record: { id: '7', ...ofProject, name: 'SQ10' },
      create: { project_id: '1', name: 'SQ20' },
      change: { description: 'At night' },
    },
  },
  {
    ...{ kind: shot, path: 'shots', one: 'Shot', many: 'Shots', listed },
    examples: {
      record: { id: '7', ...ofProject, ...ofShot },
      create: { project_id: '1', sequence_id: '1', name: 'SH020', frames: 96 },
      change: { frames: 120 },
    },
  },
  {
    ...{ kind: asset, path: 'assets', one: 'Asset', many: 'Assets', listed },
    examples: {
      record: { id: '7', ...ofProject, name: 'Rock', kind: 'prop', max_retakes: null, not_applicable: false },
      create: { project_id: '1', name: 'Tree', kind: 'prop' },
      change: { description: 'With moss' },
    },
  },
  {
    ...{ kind: person, path: 'persons', one: 'Person', many: 'Persons' },
    examples: {
      record: { id: '7', name: 'Alice', email: '', user_name: 'alice', active: true },
      create: { name: 'Joe', user_name: 'joe' },
      change: { active: false },
    },
  },
  {
    ...{ kind: taskType, path: 'task-types', one: 'TaskType', many: 'TaskTypes' },
    examples: {
      record: { id: 'comp', name: 'Compositing', entity_type: 'shot', position: 3, colour: '' },
      create: { id: 'light', name: 'Lighting', entity_type: 'shot', position: 2 },
      change: { position: 4 },
    },
  },
  {
    ...{ kind: taskStatus, path: 'task-statuses', one: 'TaskStatus', many: 'TaskStatuses' },
    examples: {
      record: { id: 'approved', name: 'Approved', ...ofStatus },
      create: { id: 'delivered', name: 'Delivered', is_done: true },
      change: { colour: '#00ff00' },
    },
  },
  {
    ...{ kind: task, path: 'tasks', one: 'Task', many: 'Tasks', changes: commentChanges, changing: 'status' },
    examples: {
      record: taskExample,
      create: { entity_type: 'shot', entity_id: '1', task_type: 'layout', name: 'second' },
      change: { priority: 2, status: 'wip', comment: 'I begin' },
    },
  },
];

export const recordControllers = RECORD_ROUTES.map(recordController);

import type { DemoServer } from './demo-server.ts';

/** A task as the demonstration knows it. */
export interface DemoTask {
  readonly id: string;
  readonly shot: string;
  readonly sequence: string;
  readonly type: string;
  /** The status that it was brought to last. */
  status: string;
}

export interface DemoProduction {
  readonly project: string;
  readonly tasks: readonly DemoTask[];
}

const STATUSES = [
  { id: 'todo', name: 'To do', is_default: true },
  { id: 'wip', name: 'At work', is_wip: true },
  { id: 'review', name: 'To be seen', is_feedback: true },
  { id: 'retake', name: 'Again', is_retake: true },
  { id: 'done', name: 'Done', is_done: true },
];
const TYPES = ['layout', 'animation', 'lighting', 'comp'];
const SHOTS_A_SEQUENCE = 5;
const AT_ONCE = 8;

/** Makes a project with shots, and a task of each type on each, over HTTP. */
export async function makeProduction(server: DemoServer, shots: number): Promise<DemoProduction> {
  const make = async (path: string, body: object): Promise<string> =>
    (await server.ask('POST', path, { body })).body.id;
  for (const status of STATUSES) await make('/task-statuses', status);
  for (const [position, id] of TYPES.entries()) await make('/task-types', { id, name: id, position });
  const project = await make('/projects', { name: 'Demonstration' });
  const tasks: DemoTask[] = [];
  const makeSequence = async (number: number): Promise<void> => {
    const sequence = await make('/sequences', { project_id: project, name: `SQ${number}` });
    for (let n = number; n < Math.min(number + SHOTS_A_SEQUENCE, shots); n++) {
      const shot = await make('/shots', { project_id: project, sequence_id: sequence, name: `SH${n}` });
      for (const type of TYPES) {
        const id = await make('/tasks', { entity_type: 'shot', entity_id: shot, task_type: type });
        tasks.push({ id, shot, sequence, type, status: 'todo' });
      }
    }
  };
  const numbers = Array.from({ length: Math.ceil(shots / SHOTS_A_SEQUENCE) }, (_, n) => n * SHOTS_A_SEQUENCE).values();
  const lane = async () => {
    for (const number of numbers) await makeSequence(number);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return { project, tasks };
}

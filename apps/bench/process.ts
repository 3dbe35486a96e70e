import { Database } from '../../dist/libs/database/index.js';
import { defineResource, type Resource } from '../../dist/libs/journal/index.js';
import { createKernel, type Kernel } from '../../dist/libs/kernel/index.js';
import type { Projection } from '../../dist/libs/projection/index.js';

export interface TaskRow {
  id: number;
  title: string;
  state: string;
  points: number;
}

/** The measured resource. */
export const task = defineResource<TaskRow>({ name: 'bench_task' });

const ignore = () => undefined;
const complain = (fields: object, message: string) => console.error(message, fields);

interface ProcessOptions {
  readonly poolSize: number;
  readonly resources?: readonly Resource[];
  readonly projections?: readonly Projection[];
}

/** What a server process opens on a database: a pool with the program's rights and a kernel, not started. */
export async function openProcess(
  url: string,
  { poolSize, resources = [task], projections = [] }: ProcessOptions,
): Promise<Kernel<unknown>> {
  const database = Database.open({ url, role: 'tidemark_app', poolSize });
  const log = { debug: ignore, info: ignore, warn: complain, error: complain };
  return createKernel({ database, resources, projections, name: 'bench', log });
}

import { definePlugin } from 'tidemark';
import type { ConsistencyRule } from 'tidemark/server';

const dueDate: ConsistencyRule = {
  name: 'due-date',
  description: 'what is at work has a due date',
  judge: (_entity, tasks) =>
    tasks
      .filter(({ status_kind, due_date }) => status_kind === 'wip' && due_date === null)
      .map(({ id }) => ({ field: `tasks.${id}.due_date`, actual: null })),
};

export default definePlugin({ name: 'studio', consistencyRules: [dueDate] });

import { openProcess } from '../process.ts';

/** The other process: notes when it is told of each change (tid, ns of the machine's monotonic clock). */
const told: [tid: number, at: bigint][] = [];

const kernel = await openProcess(process.argv[2] as string, { poolSize: 4 });
kernel.dispatcher.listen({
  name: 'bench',
  onSecondary: ({ tid }) => {
    told.push([tid, process.hrtime.bigint()]);
  },
});
await kernel.start();

// 'collect' hands over what was told since the last time; a closed channel ends the process
process.on('message', () => process.send?.(told.splice(0)));
process.once('disconnect', async () => {
  await kernel.stop();
  await kernel.database.close();
});
process.send?.([]);

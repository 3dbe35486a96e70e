import { Database } from '#libs/database';
import { createKernel } from '#libs/kernel';

// A process of its own that does nothing but check.

const { url, rowsPerSecond } = JSON.parse(process.argv[2] as string) as { url: string; rowsPerSecond: number };
const quiet = () => undefined;
const database = Database.open({ url, onError: quiet });
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const kernel = createKernel({ database, resources: [], log, checkRowsPerSecond: rowsPerSecond });
await kernel.start();
process.on('disconnect', () => process.exit());
process.send?.('ready');

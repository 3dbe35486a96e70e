import { once } from 'node:events';
import { joinEmbedded } from '#libs/embedded';

/** A process that uses the embedded database of the folder it is given, until its input ends. Says in one line of JSON how joining went. */
const say = (words: object) => process.stdout.write(`${JSON.stringify(words)}\n`);
try {
  const { created, url, ownerUrl, clusterDir, release } = await joinEmbedded(process.argv[2] as string);
  say({ created, url, ownerUrl, clusterDir });
  await once(process.stdin.resume(), 'end');
  await release();
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  say({ code, message });
}

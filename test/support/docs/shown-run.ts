import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { waitUntil } from '../wait-until.ts';

/** The address that documents show for the server that a run uses. */
const SHOWN_URL = 'http://127.0.0.1:3000';
const WIDTH = 150;
const INDENT = '    ';

/** Blocks of a document, each a shell line after `$ ` and what it printed, behind a line `<!-- run -->`. */
const RUN = /(<!-- run -->\n```console\n)(.*?)(^```$)/gms;

/**
 * Runs the shell lines of a document against a server, `$TOKEN` being its token, and returns the document with what they print now. A line
 * with `curl -N` is started before all others, and ended when it has printed an event of each change that they make.
 */
export async function withRuns(text: string, server: { url: string; token: string }): Promise<string> {
  const commands = [...text.matchAll(RUN)].map(([, , body = '']) => commandOf(body));
  const followers = commands.filter(isFollower).map((command) => new Follower(command, server));
  await Promise.all(followers.map((follower) => follower.opened()));
  const printed = new Map<string, string>();
  for (const command of commands.filter((each) => !isFollower(each)))
    printed.set(command, await output(command, server));
  for (const follower of followers) printed.set(follower.command, await follower.end());
  return text.replace(RUN, (_all, opening: string, body: string, closing: string) => {
    const command = commandOf(body);
    const lines = (printed.get(command) as string).trimEnd().split('\n');
    return `${opening}$ ${command}\n${lines.map(wrapped).join('\n')}\n${closing}`;
  });
}

/** What of a document does not depend on the moment of the run. */
export function shapeOf(text: string): string {
  return text
    .replaceAll(`\n${INDENT}`, '')
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '<uuid>')
    .replace(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/"(tid|txn)":\d+/g, '"$1":<number>')
    .replace(/("cursor":"|^id: )[\w-]+/gm, '$1<cursor>');
}

function commandOf(body: string): string {
  const [line = ''] = body.split('\n', 1);
  if (!line.startsWith('$ ')) throw new Error(`a run begins with a shell line after "$ ", and not with ${line}`);
  return line.slice(2);
}

function isFollower(command: string): boolean {
  return command.startsWith('curl -N ');
}

function shell(command: string, { url, token }: { url: string; token: string }) {
  const line = command.replaceAll(SHOWN_URL, url).replace(/^curl /, 'exec curl -sS ');
  return spawn('/bin/sh', ['-c', line], {
    env: { ...process.env, TOKEN: token },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function output(command: string, server: { url: string; token: string }): Promise<string> {
  const child = shell(command, server);
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return text.replaceAll(server.url, SHOWN_URL);
}

/** A command that prints events until it is ended. */
class Follower {
  readonly command: string;
  readonly #child: ReturnType<typeof shell>;
  #text = '';

  constructor(command: string, server: { url: string; token: string }) {
    this.command = command;
    this.#child = shell(command, server);
    this.#child.stdout.on('data', (chunk) => {
      this.#text += chunk;
    });
  }

  opened(): Promise<void> {
    return waitUntil(() => this.#text.includes('\n\n'), 'the stream is open');
  }

  async end(): Promise<string> {
    await waitUntil(() => /^data: .*\n\n/m.test(this.#text), 'an event has come');
    this.#child.kill();
    await once(this.#child, 'close');
    return this.#text;
  }
}

/** A long line broken after commas. */
function wrapped(line: string): string {
  const lines = [''];
  for (const part of line.split(/(?<=,)(?=")/)) {
    const last = lines.at(-1) as string;
    if (last !== '' && last.length + part.length > WIDTH) lines.push(INDENT + part);
    else lines[lines.length - 1] = last + part;
  }
  return lines.join('\n');
}

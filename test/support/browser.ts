import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The Chromium of this machine, if there is one. */
export function findChromium(): string | undefined {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      // the next one
    }
  }
  return undefined;
}

type Params = Record<string, unknown>;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Params;
  readonly result?: Params;
  readonly error?: { readonly message: string };
}

/** One page of a Chromium without a window, led by its DevTools protocol. */
export class BrowserPage {
  /** What the page complained of: errors of scripts, what its policy forbade, what it could not load. */
  readonly complaints: string[] = [];
  readonly #chromium: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #calls = 0;

  private constructor(chromium: ChildProcess, profile: string, socket: WebSocket) {
    this.#chromium = chromium;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(String(data))));
  }

  static async open(chromium: string): Promise<BrowserPage> {
    const profile = await mkdtemp(join(tmpdir(), 'tidemark-browser-'));
    const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const flags = [
      '--headless=new',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      '--window-size=1280,1000',
    ];
    const child = spawn(chromium, [...flags, ...sandbox, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
    const { host } = new URL(await devToolsAddress(child));
    const targets = (await (await fetch(`http://${host}/json/list`)).json()) as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    const target = targets.find(({ type }) => type === 'page');
    const socket = new WebSocket(target?.webSocketDebuggerUrl as string);
    await once(socket as never, 'open');
    const page = new BrowserPage(child, profile, socket);
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.call(`${domain}.enable`);
    return page;
  }

  /** What the protocol answers. Throws what it refuses. */
  async call(method: string, params: Params = {}): Promise<Params> {
    const id = ++this.#calls;
    const { promise, resolve } = Promise.withResolvers<Message>();
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await promise;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result as Params;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  async close(): Promise<void> {
    this.#socket.close();
    const gone = once(this.#chromium, 'exit');
    this.#chromium.kill('SIGKILL');
    await gone;
    await rm(this.#profile, { recursive: true, maxRetries: 5 });
  }

  #receive(message: Message): void {
    if (message.id !== undefined) {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    } else if (isComplaint(message)) this.complaints.push(JSON.stringify(message.params));
  }
}

function isComplaint({ method, params = {} }: Message): boolean {
  if (method === 'Runtime.exceptionThrown' || method === 'Network.loadingFailed') return true;
  if (method === 'Runtime.consoleAPICalled') return params['type'] === 'error';
  return method === 'Log.entryAdded' && (params['entry'] as { level: string }).level === 'error';
}

async function devToolsAddress(child: ChildProcess): Promise<string> {
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr as NodeJS.ReadableStream })) {
    const [, address] = /DevTools listening on (\S+)/.exec(line) ?? [];
    if (address !== undefined) return address;
    said.push(line);
  }
  throw new Error(`the browser did not start: ${said.join('\n')}`);
}

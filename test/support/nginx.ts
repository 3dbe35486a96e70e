import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { waitUntil } from './wait-until.ts';

/** An nginx of a test's own. */
export interface Nginx {
  readonly url: string;
  stop(): Promise<void>;
}

/** Why there is none to test with; undefined when there is one. */
export function missingNginx(): string | undefined {
  return spawnSync('nginx', ['-v']).status === 0 ? undefined : 'nginx is not installed (apt-get install nginx-light)';
}

/** Starts one on a free port with what stands in its section http; `listen` is replaced. */
export async function startNginx(http: string): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-nginx-'));
  const port = await freePort();
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${folder}/${what};`,
  );
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; ${user} worker_processes 1; events {}
http { access_log off; ${paths.join(' ')}
${http.replace(/listen [^;]+;/, `listen 127.0.0.1:${port};`)}
}`,
  );
  const child = spawn('nginx', ['-c', `${folder}/nginx.conf`, '-p', folder, '-e', `${folder}/error.log`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (text) => {
    complaints += text;
  });
  const exit = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  await waitUntil(() => {
    if (child.exitCode !== null) throw new Error(`nginx does not start: ${complaints}`);
    return fetch(url).then(
      () => true,
      () => false,
    );
  }, 'nginx answers');
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await exit;
      rmSync(folder, { recursive: true });
    },
  };
}

import { writeFile } from 'node:fs/promises';
import { line, type Result, result } from './figures.ts';
import { describeMachine, type Machine } from './machine.ts';
import { type Options, readOptions, usage } from './options.ts';
import { catchUp } from './scenarios/catch-up.ts';
import { effects } from './scenarios/effects.ts';
import { http } from './scenarios/http.ts';
import { importGit } from './scenarios/import.ts';
import { latency } from './scenarios/latency.ts';
import { production } from './scenarios/production.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { startUp } from './scenarios/start-up.ts';
import { streams } from './scenarios/streams.ts';
import { write } from './scenarios/write.ts';
import { openServer } from './server.ts';

const scenarios: Readonly<Record<string, Scenario>> = {
  write,
  latency,
  streams,
  'catch-up': catchUp,
  http,
  effects,
  production,
  import: importGit,
  'start-up': startUp,
};

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), process.env['DATABASE_URL']);
  const manual = `${usage}\n\nScenarios: ${Object.keys(scenarios).join(', ')}`;
  if (options.help) return console.log(manual);
  const unknown = options.scenarios.filter((name) => !(name in scenarios));
  if (options.scenarios.length === 0 || unknown.length > 0) {
    const complaint = unknown.length > 0 ? `unknown scenario: ${unknown.join(', ')}\n\n` : '';
    throw new Error(complaint + manual);
  }
  const machine = await machineOf(options);
  console.log(describe(machine));
  const measured: Record<string, Result[]> = {};
  for (const name of options.scenarios) {
    const scenario = scenarios[name] as Scenario;
    console.log(`\n${name}: ${scenario.title}${options.quick ? ' (quick)' : ''}`);
    const figures = (await scenario.run(options, (text) => console.log(`  … ${text}`))).map(result);
    console.log(figures.map(line).join('\n'));
    measured[name] = figures;
  }
  if (options.json !== undefined) {
    const report = { time: new Date().toISOString(), quick: options.quick, machine, measured };
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  }
}

async function machineOf(options: Options): Promise<Machine> {
  const server = await openServer(options.databaseUrl);
  try {
    return await describeMachine(server.ownerUrl);
  } finally {
    await server.close();
  }
}

function describe(machine: Machine): string {
  const settings = Object.entries(machine.settings).map(([name, value]) => `${name}=${value}`);
  return [
    `${machine.processor}, ${machine.cores} cores, ${machine.memory}, Linux ${machine.kernel}, load ${machine.load}`,
    `Node ${machine.node}, PostgreSQL ${machine.postgres}, tidemark ${machine.commit}`,
    settings.join(' '),
  ].join('\n');
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

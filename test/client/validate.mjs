// Prints what is wrong with an OpenAPI document, a line each: the validator comes with the generator of this package.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const generator = createRequire(createRequire(import.meta.url).resolve('openapi-typescript/package.json'));
const { createConfig, lintFromString } = generator('@redocly/openapi-core');
const [file] = process.argv.slice(2);
const config = await createConfig({ extends: ['recommended'] });
const found = await lintFromString({ source: readFileSync(file, 'utf8'), absoluteRef: file, config });
for (const { ruleId, message, location } of found) {
  process.stdout.write(`${ruleId}: ${message} ${location[0]?.pointer}\n`);
}

import type { INestApplication } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiHeader,
  ApiOperation,
  ApiParam,
  ApiResponse,
  DocumentBuilder,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { z } from 'zod';
import { version } from '#libs/kernel';
import { type DescribedRoute, describedRoutes } from './describe.ts';
import { IF_CHANGED, REQUEST_HEADERS } from './headers.ts';
import { INTRODUCTION, JOINED, TAGS } from './introduction.ts';
import { jsonSchema } from './json-schema.ts';
import { ProblemAnswer } from './problem.answers.ts';
import { responsesOf } from './responses.ts';
import { type RouteKind, routeKind } from './route-kind.ts';

type Components = Record<string, Record<string, unknown>>;

/** The OpenAPI document of a server. The same program always gives the same document. */
export function openApiDocument(app: INestApplication): OpenAPIObject {
  decorateOnce();
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Tidemark')
    .setDescription(INTRODUCTION)
    .setVersion(version)
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer('/')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'opaque', description: 'A token of this server' });
  for (const [name, description] of Object.entries(TAGS)) builder.addTag(name, description);
  const config = builder.build();
  const schemas = { ...config.components?.schemas, ...answerComponents() } as never;
  const document = SwaggerModule.createDocument(
    app,
    { ...config, components: { ...config.components, schemas } },
    {
      autoTagControllers: false,
      standardSchemaConverter: (schema) => (schema instanceof z.ZodType ? jsonSchema(schema, 'input') : undefined),
    },
  );
  for (const route of Object.values(document.paths)) {
    for (const operation of Object.values(route as Record<string, { parameters?: Parameter[] }>)) {
      operation.parameters?.forEach(liftFromSchema);
    }
  }
  return document;
}

interface Parameter {
  description?: string;
  example?: unknown;
  schema: { description?: string; examples?: unknown[]; example?: unknown };
}

// What is said of a parameter belongs beside its schema: that is where forms look for it.
function liftFromSchema(parameter: Parameter): void {
  const {
    description = parameter.description,
    examples = [parameter.schema.example],
    example: _,
    ...schema
  } = parameter.schema;
  Object.assign(
    parameter,
    { schema },
    description && { description },
    examples[0] !== undefined && { example: examples[0] },
  );
}

/** The schemas of all answers. Throws when two differ under one name. */
function answerComponents(): Components {
  const found: Components = {};
  const answers = describedRoutes().flatMap(({ answers }) => Object.values(answers));
  for (const answer of [ProblemAnswer, ...answers]) {
    if (!(answer instanceof z.ZodType)) continue;
    for (const [name, schema] of Object.entries(jsonSchema(answer, 'output').components)) {
      if (found[name] && JSON.stringify(found[name]) !== JSON.stringify(schema)) {
        throw new Error(`two schemas are called ${name}`);
      }
      found[name] = schema;
    }
  }
  return found;
}

let decorated = false;

// Decorators add to what is there: a second server of this process finds them done.
function decorateOnce(): void {
  if (decorated) return;
  decorated = true;
  for (const route of describedRoutes()) decorate(route);
}

function decorate(route: DescribedRoute): void {
  const kind = routeKind(route);
  const { operationId, summary, target, key } = route;
  const descriptor = Object.getOwnPropertyDescriptor(target, key) as PropertyDescriptor;
  const decorators = [
    ApiOperation({
      ...{ operationId, summary, description: descriptionOf(route, kind), tags: [groupOf(route)] },
      ...(kind.public ? { security: [] } : {}),
    }),
    ...(kind.public ? [] : [ApiBearerAuth()]),
    ...Object.entries(route.params ?? {}).map(([name, schema]) => pathParameter(name, schema)),
    ...requestHeaders(route, kind),
    ...Object.entries(responsesOf(route, kind)).map(([status, response]) =>
      ApiResponse({ status: Number(status), ...response } as never),
    ),
  ];
  for (const decorate of decorators) decorate(target, key, descriptor);
}

function groupOf({ target }: DescribedRoute): string {
  const name = target.constructor.name.replace(/Controller$/, '');
  return JOINED[name] ?? name;
}

function descriptionOf({ description }: DescribedRoute, { permissions }: RouteKind): string {
  const needs = permissions.length > 0 ? `Needs the permission ${permissions.join(' and ')}.` : '';
  return [description, needs].filter(Boolean).join('\n\n');
}

function pathParameter(name: string, type: z.ZodType): MethodDecorator {
  return ApiParam({ name, schema: jsonSchema(type, 'input').schema } as never);
}

function requestHeaders(
  { headers = {}, versioned, answers }: DescribedRoute,
  { changes }: RouteKind,
): MethodDecorator[] {
  const { 'If-Match': match, 'If-None-Match': absent, 'Idempotency-Key': once, ...waiting } = REQUEST_HEADERS;
  const conditions = !versioned
    ? {}
    : changes
      ? { 'If-Match': match, ...(201 in answers ? { 'If-None-Match': absent } : {}) }
      : { 'If-None-Match': IF_CHANGED };
  const own = Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]);
  const all = {
    ...Object.fromEntries(own),
    ...conditions,
    ...(changes ? { 'Idempotency-Key': once } : {}),
    ...waiting,
  };
  return Object.entries(all).map(([name, header]) => ApiHeader({ name, required: false, ...(header as object) }));
}

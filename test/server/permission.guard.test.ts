import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Controller, Get, Module, Post, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { Permissions } from '#libs/access';
import { fastifyAdapter } from '../../apps/server/http.ts';
import { LIMITS } from '../../apps/server/limits.ts';
import { Allow } from '../../apps/server/permission.guard.ts';
import { RouteTable } from '../../apps/server/routes.ts';

const nobody = { debug() {}, info() {}, warn() {}, error() {} };

function adapter() {
  return fastifyAdapter({
    ...{
      log: nobody,
      routes: new RouteTable(),
      limits: LIMITS,
      metrics: { answered() {}, refused() {} },
      trustedProxies: [],
      isClosing: () => false,
    },
    permissions: new Permissions({ lamp: { light: ['editor', 'light it'] } }),
    authenticate: () => Promise.reject(new Error('nobody asks')),
  });
}

async function start(...controllers: Type[]): Promise<void> {
  class Program {}
  Module({ controllers })(Program);
  const app = await NestFactory.create(Program, adapter(), { logger: false, bodyParser: false, abortOnError: false });
  await app.init().finally(() => app.close());
}

@Controller('good')
class Good {
  @Get('open')
  @RouteConfig({ public: true })
  open() {}

  @Get('closed')
  @Allow('lamp', 'light')
  closed() {}

  @Post('unlisted')
  @Allow('resource-of-no-table', 'frobnicate')
  unlisted() {}
}

@Controller('forgotten')
class Forgotten {
  @Get('open')
  @RouteConfig({ public: true })
  open() {}

  @Get('closed')
  closed() {}
}

@Controller('misspelled')
class Misspelled {
  @Get()
  @Allow('wiki', 'raed')
  closed() {}
}

it('routes that say what they need, or that they are public, are served', async () => {
  await start(Good);
});

it('a route that says nothing lets no server start', async () => {
  await expect(start(Good, Forgotten)).rejects.toMatchObject({
    code: 'configuration',
    message: 'GET /forgotten/closed says neither @Allow(resource, action) nor that it is public',
  });
});

it('a route that needs what the table lacks lets no server start', async () => {
  await expect(start(Misspelled)).rejects.toMatchObject({
    code: 'configuration',
    message: expect.stringContaining('wiki:raed'),
  });
});

it('a route past Nest is held to it, too', () => {
  const fastify = adapter().getInstance() as unknown as FastifyInstance;
  expect(() => fastify.get('/raw', async () => 'raw')).toThrow(/GET \/raw says neither/);
  fastify.get('/raw', { config: { public: true } as object }, async () => 'raw');
});

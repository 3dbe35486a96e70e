import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import pg from 'pg';
import { migrateDatabase } from 'tidemark';
import { shopModule } from './shop.module.js';

const {
  DATABASE_URL = '',
  DATABASE_OWNER_URL = '',
  OUTLET_URL = '',
  OUTLET_OWNER_URL = '',
  PORT = '8080',
} = process.env;

for (const url of [DATABASE_OWNER_URL, OUTLET_OWNER_URL]) await migrateDatabase({ url, folder: 'migrations' });
const pool = new pg.Pool({ connectionString: DATABASE_URL });
const app = await NestFactory.create<NestFastifyApplication>(
  shopModule({ pool, outletUrl: OUTLET_URL }),
  new FastifyAdapter(),
);
app.enableShutdownHooks();
await app.listen(Number(PORT));
console.log(`the shop is open at ${await app.getUrl()}`);

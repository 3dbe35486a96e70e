import { z } from 'zod';
import { type Field, givenFields, type RecordKind } from '#libs/resources';
import { time } from '../openapi/answer-types.ts';
import { body, paging, query, text } from '../validation.ts';

/** An id of a record that is a number to the database: text here, and taken as either. */
export const recordId = () => z.union([z.string(), z.int()], 'must be an id: text, or a whole number');

/** What makes a record, with names and an example for the document. */
export function createBody(kind: RecordKind, meta: z.GlobalMeta) {
  const shape = givenFields(kind, 'create').map(([name, field]) => {
    const given = givenType(field);
    return [name, field.required ? given : given.optional()];
  });
  const id = kind.id === 'name' ? { id: z.string().meta({ description: 'A short name, which stays' }) } : {};
  return body({ ...id, ...(Object.fromEntries(shape) as z.ZodRawShape) }).meta(meta);
}

/** What changes a record: any of its fields. */
export function changeShape(kind: RecordKind): z.ZodRawShape {
  return Object.fromEntries(
    givenFields(kind, 'change').map(([name, field]) => [name, givenType(field).optional()]),
  ) as z.ZodRawShape;
}

/** A record as it is answered, further fields beside its own. */
export function recordAnswer({ fields }: RecordKind, meta: z.GlobalMeta, further: z.ZodRawShape = {}) {
  const shape = Object.entries(fields).map(([name, field]) => [name, nullable(shownType(field), field)]);
  return z.object({ id: z.string(), ...(Object.fromEntries(shape) as z.ZodRawShape), ...further }).meta(meta);
}

/** The parameters of a list: pages, and a value for each field by which it can be filtered. */
export function listQuery(kind: RecordKind) {
  const filters = Object.entries(kind.fields).filter(([, { filter }]) => filter);
  const shape = filters.map(([name, field]) => {
    const description = `Only those with this one${field.nullable ? '; `none`: with none' : ''}`;
    return [name, text().optional().meta({ description })];
  });
  return query({ ...paging, ...(Object.fromEntries(shape) as Record<string, z.ZodOptional<z.ZodString>>) });
}

function givenType(field: Field): z.ZodType {
  return nullable(plainType(field, recordId()), field);
}

function shownType(field: Field): z.ZodType {
  return plainType(field, z.string());
}

function plainType(field: Field, id: z.ZodType): z.ZodType {
  switch (field.type) {
    case 'text':
      return z.string();
    case 'choice':
      return z.enum(field.of as [string, ...string[]]);
    case 'integer':
      return z.int().min(field.from).max(field.to);
    case 'boolean':
      return z.boolean();
    case 'day':
      return z.string().meta({ format: 'date', examples: ['2026-11-20'] });
    case 'moment':
      return time();
    case 'entity':
      return id;
    case 'reference':
      return field.list ? z.array(id) : id;
  }
}

function nullable(type: z.ZodType, field: Field): z.ZodType {
  return field.nullable ? type.nullable() : type;
}

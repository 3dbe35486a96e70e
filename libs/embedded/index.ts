export { type EmbeddedDatabase, joinEmbedded, stopEmbedded } from './join.ts';

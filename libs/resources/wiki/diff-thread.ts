import { parentPort, workerData } from 'node:worker_threads';
import { type DiffRequest, makeDiff } from './make-diff.ts';

// The whole program of the thread that makes one large diff.
const { request, timeout } = workerData as { request: DiffRequest; timeout: number };
parentPort?.postMessage(makeDiff(request, timeout));

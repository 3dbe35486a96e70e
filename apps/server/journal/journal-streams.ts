import type { ServerResponse } from 'node:http';
import { HttpException } from '@nestjs/common';
import type { Visibility } from '#libs/access';
import { KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { Position } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import type { Limits } from '../limits.ts';
import { EventRing } from './event-ring.ts';
import { EventStream } from './event-stream.ts';
import { EventReader } from './stream-event.ts';

export interface StreamOptions {
  /** Whose stream it is, for the log. */
  readonly about: object;
  readonly after: Position;
  readonly resource?: string | undefined;
  /** What the client may read, as of now. Throws when it may not read on. */
  visibility(): Promise<Visibility>;
}

/** What this process has to do with clients that wait for changes. */
export interface StreamsStatus {
  readonly streams: number;
  readonly longPolls: number;
  readonly cutOff: number;
  readonly refused: number;
}

type Kind = 'stream' | 'poll';

/** The open event streams and waiting long polls of this server: counted, limited, and closed together. */
export class JournalStreams {
  readonly #kernel: Kernel;
  readonly #log: Log;
  readonly #limits: Limits;
  readonly #reader: EventReader;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #places = new Map<string, number>();
  readonly #open: Record<Kind, number> = { stream: 0, poll: 0 };
  #shared: { ring: EventRing; users: number; ended: AbortController } | undefined;
  #cutOff = 0;
  #refused = 0;

  constructor(kernel: Kernel, log: Log, limits: Limits) {
    this.#kernel = kernel;
    this.#log = log;
    this.#limits = limits;
    this.#reader = new EventReader(kernel);
  }

  /** Aborted when the server closes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get status(): StreamsStatus {
    return { streams: this.#open.stream, longPolls: this.#open.poll, cutOff: this.#cutOff, refused: this.#refused };
  }

  /**
   * Takes a place for a user's stream or long poll; what it returns gives it back. KernelError `unavailable` when the server has none
   * left, HttpException 429 when the user has too many.
   */
  admit(kind: Kind, user: string): () => void {
    const { streams, streamsPerUser } = this.#limits;
    const mine = this.#places.get(user) ?? 0;
    const full = this.#open.stream + this.#open.poll >= streams;
    if (full || mine >= streamsPerUser) {
      this.#refused += 1;
      if (full) throw new KernelError('unavailable', `${streams} clients of this server wait for changes already`);
      throw new HttpException(`${streamsPerUser} clients of the user ${user} wait for changes already`, 429);
    }
    this.#open[kind] += 1;
    this.#places.set(user, mine + 1);
    return () => {
      this.#open[kind] -= 1;
      const left = (this.#places.get(user) as number) - 1;
      if (left > 0) this.#places.set(user, left);
      else this.#places.delete(user);
    };
  }

  /** Sends changes as server-sent events until the client goes, is cut off, or the server closes. */
  serve(response: ServerResponse, options: StreamOptions): Promise<void> {
    const running = this.#serve(response, options).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return running;
  }

  /** Tells every client to come back, and ends its stream. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running);
  }

  async #serve(response: ServerResponse, { about, ...client }: StreamOptions): Promise<void> {
    const shared = this.#share();
    const { heartbeat, stuck } = this.#limits;
    const stream = new EventStream({
      ...{ ...client, response, epoch: this.#kernel.epoch, ring: shared.ring, reader: this.#reader },
      ...{ heartbeat, stuck, signal: AbortSignal.any([shared.ended.signal, this.closing]) },
    });
    try {
      if ((await stream.run()) === 'stuck') this.#tellOfCutOff(about, stream.position);
    } catch (error) {
      this.#log.warn({ err: error, ...about }, 'an event stream has ended early');
    } finally {
      shared.users -= 1;
      if (shared.users === 0) this.#unshare(shared);
    }
  }

  #tellOfCutOff(about: object, { tid }: Position): void {
    this.#cutOff += 1;
    const waited = { ...about, tid, seconds: this.#limits.stuck / 1000 };
    this.#log.warn(waited, 'a client of the event stream has taken nothing for too long and is cut off');
  }

  /** The ring runs while there is a client: without one nobody needs old values. */
  #share() {
    this.#shared ??= this.#startRing();
    this.#shared.users += 1;
    return this.#shared;
  }

  #startRing() {
    const shared = {
      ring: new EventRing(this.#kernel.dispatcher.status().position),
      users: 0,
      ended: new AbortController(),
    };
    shared.ring
      .run(this.#kernel, this.#reader, AbortSignal.any([shared.ended.signal, this.closing]))
      .catch((error: unknown) => {
        if (!shared.ended.signal.aborted && !this.closing.aborted) {
          this.#log.error({ err: error }, 'the event streams cannot be fed and are ended');
        }
      })
      .finally(() => this.#unshare(shared));
    return shared;
  }

  #unshare(shared: { ended: AbortController }): void {
    shared.ended.abort();
    if (this.#shared === shared) this.#shared = undefined;
  }
}

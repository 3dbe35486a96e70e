export interface ServerSentEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string | undefined;
  readonly raw: string;
}

export interface EventReader {
  /** The next block that has data; undefined at the end of the stream. */
  next(): Promise<ServerSentEvent | undefined>;
  /** The first block: the client's starting point. */
  readonly opening: ServerSentEvent;
  cancel(): Promise<void>;
}

/** Reads the blocks of an event stream as they come. */
export async function readEvents(body: ReadableStream<Uint8Array>): Promise<EventReader> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  let buffered = '';
  const block = async (): Promise<ServerSentEvent | undefined> => {
    for (;;) {
      const end = buffered.indexOf('\n\n');
      if (end >= 0) {
        const raw = buffered.slice(0, end);
        buffered = buffered.slice(end + 2);
        return parse(raw);
      }
      const { value, done } = await reader.read();
      if (done) return undefined;
      buffered += value;
    }
  };
  const opening = (await block()) as ServerSentEvent;
  return {
    opening,
    async next() {
      let found = await block();
      while (found && found.data === undefined) found = await block();
      return found;
    },
    cancel: () => reader.cancel(),
  };
}

function parse(raw: string): ServerSentEvent {
  const field = (name: string) =>
    raw
      .split('\n')
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2);
  return { id: field('id'), event: field('event'), data: field('data'), raw };
}

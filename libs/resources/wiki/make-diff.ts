import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff';

export interface DiffRequest {
  readonly name: string;
  readonly before: string;
  readonly after: string;
  /** What stands beside the name in the two lines of the head. */
  readonly versions: readonly [before: string, after: string];
}

/** A unified diff; undefined when it takes longer than so many milliseconds. Holds up its thread. */
export function makeDiff({ name, before, after, versions }: DiffRequest, timeout: number): string | undefined {
  const options = { context: 3, timeout, headerOptions: FILE_HEADERS_ONLY };
  return createTwoFilesPatch(name, name, before, after, ...versions, options);
}

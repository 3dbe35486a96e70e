import type { Log } from '#libs/dispatch';

/** A log that keeps its messages. */
export function recordingLog(): Log & { readonly messages: string[] } {
  const messages: string[] = [];
  const note = (_: object, message: string) => {
    messages.push(message);
  };
  return { messages, info: note, warn: note, error: note, debug: note };
}

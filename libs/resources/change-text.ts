import type { Change } from '#libs/journal';
import { isSingleLine } from './characters.ts';
import { unifiedDiff } from './wiki/unified-diff.ts';

const LONG = 100;

/** What a change of fields looks like to people: one line each, and for long texts what has changed in them. */
export interface ChangeText {
  /** `  owner: joe → alice` */
  readonly lines: readonly string[];
  /** Unified diffs. */
  readonly diffs: readonly string[];
}

/** The fields of a change as text, by name, without some of them. */
export async function changeText({ fields }: Change, without: readonly string[] = []): Promise<ChangeText> {
  const lines: string[] = [];
  const diffs: string[] = [];
  for (const name of Object.keys(fields).sort()) {
    if (without.includes(name)) continue;
    const { old, new: now } = fields[name] as { old: unknown; new: unknown };
    const [before, after] = [valueText(old), valueText(now)];
    if (isLong(before) || isLong(after)) diffs.push(await diffText(name, before, after, ['before', 'after']));
    else lines.push(`  ${name}: ${before || '(none)'} → ${after || '(none)'}`);
  }
  return { lines, diffs };
}

/** What has changed from one text to another, under a name. */
export async function diffText(
  name: string,
  before: string,
  after: string,
  versions: readonly [string, string],
): Promise<string> {
  const diff = await unifiedDiff({ name, before, after, versions });
  return diff ?? `${name} has changed in more than can be shown.`;
}

/** A value as text: as it stands when it is text, as JSON when it is not. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A name as people may have written it, on one line. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
}

function isLong(text: string): boolean {
  return text.length > LONG || !isSingleLine(text);
}

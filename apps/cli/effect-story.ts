import type { EffectStory, PastAttempt } from '#libs/effects';
import type { MailedRow } from '#libs/listeners';
import { plain } from './output.ts';

/** All that is known of an effect as sentences: the change, each attempt, what comes next, and who has got mail. */
export function effectStory(effect: EffectStory, mails: readonly MailedRow[]): string {
  return [
    `${effect.key}: ${effect.running ? 'running' : effect.state}`,
    ...[changeText(effect), `entered ${effect.created}`, ...effect.past.map(pastText), ...lastText(effect)].map(
      indented,
    ),
    ...mails.map(mailText).map(indented),
  ].join('\n');
}

function changeText({ tid, resource, id, author, time, origin, made_by }: EffectStory): string {
  const process =
    made_by ?? (origin === null ? 'no process of this program (by SQL)' : `the process ${origin}, which is gone`);
  const who = author === null ? '' : `, made by ${plain(author)} at ${time}`;
  return `the change ${tid} of ${resource} ${id}${who}, in ${process}`;
}

function pastText({ what, at, by, started, error }: PastAttempt): string {
  if (what === 'retried') return `tried again by hand at ${at}`;
  if (what === 'failed') return `begun ${started} by ${by}: failed at ${at} of: ${plain(error ?? '')}`;
  return `begun ${started} by ${by}: it was not heard of again, and another process took over at ${at}`;
}

/** The attempt that is under way or was the last one, if the past does not tell of it yet, and what comes next. */
function lastText({ key, state, running, started, finished, due, ran_by, past }: EffectStory): string[] {
  const told = past.findLast(({ what }) => what !== 'retried')?.started === started;
  const begun = `begun ${started} by ${ran_by}`;
  if (state === 'done') return [`${begun}: done ${finished}`];
  const last = started === null || told ? [] : [running ? `${begun}: it runs` : `${begun}: not heard of since`];
  if (state === 'discarded') return [...last, `given up by hand at ${finished}`];
  if (state === 'parked') return [...last, `parked; once mended: tidemark effects retry ${quoted(key)}`];
  if (running) return last;
  return [
    ...last,
    started === null && past.length === 0 ? `not begun yet, due since ${due}` : `to be tried again at ${due}`,
  ];
}

function mailText({ recipient, refused, at }: MailedRow): string {
  const what = refused === null ? 'taken' : 'refused';
  return `mail to ${recipient} ${what} ${at.toISOString()}${refused === null ? '' : `: ${plain(refused)}`}`;
}

/** A key as a shell takes it: one of a composite key has quotes and brackets. */
function quoted(key: string): string {
  return `'${key.replaceAll("'", "'\\''")}'`;
}

function indented(line: string): string {
  return `  ${line}`;
}

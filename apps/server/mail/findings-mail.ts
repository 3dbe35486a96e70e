import type { Queryable } from '#libs/database';
import type { Effect, EffectListener } from '#libs/effects';
import { type FindingRow, finding } from '#libs/integrity';
import type { JournalEntry } from '#libs/journal';
import type { MailSender, Notice } from '#libs/listeners';
import { countMails, selectAdmins, selectFindingsAt } from './findings-mail.queries.ts';

/** What the listener is called in the ledger. */
export const FINDINGS_MAIL = 'findings-mail';
const MOST_SHOWN = 20;
/** When everything is damaged, nobody is helped by a mail of each page. */
const MOST_IN_AN_HOUR = 10;

/** The listener that tells admins of what checks have found, or found again: one mail of all that was entered at once. */
export function findingsMail(db: Queryable, sender: MailSender): EffectListener {
  return {
    ...{ name: FINDINGS_MAIL, resources: [finding.name], fields: ['state'] },
    async onPrimary(entry: JournalEntry, effect: Effect) {
      if (entry.values['state'] !== 'open') return;
      const { findings, all, first } = await selectFindingsAt(db, entry.tid, MOST_SHOWN);
      if (String(first) !== entry.id) return;
      if ((await countMails(db, FINDINGS_MAIL, entry.tid)) >= MOST_IN_AN_HOUR) return;
      await sender.send(noticeOf(findings, all, await selectAdmins(db)), effect);
    },
  };
}

function noticeOf(findings: readonly FindingRow[], all: number, admins: readonly string[]): Notice {
  const what =
    all === 1
      ? 'A check of the data has found what should not be:'
      : `Checks of the data have found ${all} differences:`;
  const lines = findings.map(line);
  const more = all > findings.length ? [`and ${all - findings.length} more`] : [];
  const help = [
    'tidemark verify shows all there are; tidemark repair --finding N what can be done. After ten mails in an hour there are no more.',
  ];
  return {
    ...{ author: '', resource: finding.name, thread: 'findings', reply: false },
    concerned: admins.map((who) => ({ who, why: 'an admin' })),
    subject: all === 1 ? `finding ${findings[0]?.id}: ${lines[0]?.replace(/^\d+: /, '')}` : `${all} findings`,
    text: [what, '', ...lines, ...more, '', ...help].join('\n'),
  };
}

function line({ id, resource, row_id, field, kind, check_name }: FindingRow): string {
  const which = [resource, row_id, field].filter((part) => part).join(' ');
  return `${id}: ${which}: ${kind} (${check_name})`;
}

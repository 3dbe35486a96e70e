import { hostname } from 'node:os';
import type { Log } from '#libs/dispatch';
import type { Config, Kernel } from '#libs/kernel';
import { Mailer, MailSender } from '#libs/listeners';
import { findingsMail } from './findings-mail.ts';
import { mailListener } from './mail-listener.ts';

/** Has a kernel that is not started yet send mail, if a mail server is configured. Returns what ends its connections. */
export function sendMail(kernel: Kernel, { smtpUrl, mailFrom }: Config, log: Log): () => Promise<void> {
  if (smtpUrl === undefined) {
    log.info({}, 'no mail is sent: SMTP_URL is not set');
    return async () => {};
  }
  const { database, permissions } = kernel;
  const mailer = new Mailer({ url: smtpUrl, from: mailFrom ?? `tidemark@${hostname()}` });
  const sender = new MailSender({ database, mailer, permissions, log });
  kernel.listen(mailListener(database, sender));
  kernel.listen(findingsMail(database, sender));
  return () => mailer.close();
}

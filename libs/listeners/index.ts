export { listMailed, type MailedRow } from './mail/mail.queries.ts';
export { MailSender, type MailSenderOptions } from './mail/mail-sender.ts';
export { getMailWishes, type MailWishes, setMailWishes } from './mail/mail-wishes.ts';
export { type Mail, Mailer, type MailerOptions, MailRefused } from './mail/mailer.ts';
export type { Concerned, Notice } from './mail/notice.ts';
export { WebhookAddresses } from './webhook/webhook-addresses.ts';
export { type WebhookAnswer, WebhookClient, type WebhookClientOptions } from './webhook/webhook-client.ts';
export { webhookId, webhookSecret, webhookSignature } from './webhook/webhook-signature.ts';

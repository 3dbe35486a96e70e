-- Webhooks: receivers that are told of changes over HTTP. Who asked for what is journaled; what signs is not.

CREATE TABLE webhook (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  url text NOT NULL,
  description text NOT NULL DEFAULT '',
  filter jsonb NOT NULL, -- {resources, fields, project}
  enabled boolean NOT NULL DEFAULT true,
  secrets integer NOT NULL DEFAULT 1, -- how many it has been given: a rotation is a change of the webhook
  CONSTRAINT webhook_url CHECK (url ~ '^https?://'),
  CONSTRAINT webhook_filter CHECK (jsonb_typeof(filter -> 'resources') = 'array')
);

-- In clear: whoever signs needs them. Not journaled, and gone with their webhook.
CREATE TABLE webhook_secret (
  webhook_id bigint NOT NULL REFERENCES webhook ON DELETE CASCADE,
  number integer NOT NULL, -- among those of the webhook
  secret text NOT NULL CHECK (secret LIKE 'whsec\_%'),
  created timestamptz NOT NULL DEFAULT now(),
  expires timestamptz, -- null: until the next rotation
  PRIMARY KEY (webhook_id, number)
);

SELECT tidemark.journal_table('webhook', row_version => true);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook TO tidemark_app;
GRANT SELECT, INSERT, DELETE, UPDATE (expires) ON webhook_secret TO tidemark_app;

-- What was last posted of each ticket.
CREATE TABLE ticket_post (
  ticket bigint PRIMARY KEY,
  tid bigint NOT NULL,
  status integer NOT NULL
);
SELECT tidemark.journal_table('ticket_post');
GRANT SELECT, INSERT, UPDATE ON ticket_post TO tidemark_app;

-- How many tickets each owner has, by status.
CREATE TABLE ticket_board (
  owner text,
  status text,
  tickets integer NOT NULL,
  PRIMARY KEY (owner, status)
);
SELECT tidemark.projection('ticket_board', 'ticket_board');

-- How long each ticket has been in each status, and since when it is in the one without an end.
CREATE TABLE ticket_time (
  ticket integer,
  status text,
  seconds numeric NOT NULL DEFAULT 0,
  since timestamptz,
  PRIMARY KEY (ticket, status)
);
SELECT tidemark.projection('ticket_time', 'ticket_time');

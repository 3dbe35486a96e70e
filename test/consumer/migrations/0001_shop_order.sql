CREATE TABLE shop_order (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer text NOT NULL CHECK (customer <> ''),
  cents integer NOT NULL CHECK (cents >= 0),
  status text NOT NULL DEFAULT 'open'
);
SELECT tidemark.journal_table('shop_order', row_version => true);
GRANT SELECT, INSERT, UPDATE, DELETE ON shop_order TO tidemark_app;

-- Propagations are kept for some days only: so many come as statuses change. They are found by their time, locked and deleted.
CREATE INDEX propagation_timestamp ON propagation ("timestamp");
GRANT UPDATE, DELETE ON propagation TO tidemark_app;

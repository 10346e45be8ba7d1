CREATE TABLE audit_checkpoints (
  tenant TEXT NOT NULL,
  last INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, last)
) STRICT, WITHOUT ROWID;

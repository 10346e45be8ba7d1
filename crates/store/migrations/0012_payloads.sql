CREATE TABLE payloads (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  step INTEGER NOT NULL,
  part INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (tenant, run, step, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE replans (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  number INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE signals (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  name TEXT NOT NULL,
  at INTEGER NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (tenant, run, sequence)
) STRICT, WITHOUT ROWID;

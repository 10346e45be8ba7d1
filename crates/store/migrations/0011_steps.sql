CREATE TABLE steps (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  step INTEGER NOT NULL,
  part INTEGER NOT NULL,
  state TEXT NOT NULL,
  detail TEXT,
  attempt INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  since INTEGER NOT NULL,
  ready INTEGER NOT NULL,
  output BLOB,
  PRIMARY KEY (tenant, run, step, part)
) STRICT, WITHOUT ROWID;

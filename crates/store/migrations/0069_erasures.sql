CREATE TABLE erasures (
  tenant TEXT NOT NULL,
  erasure BLOB NOT NULL,
  asked INTEGER NOT NULL,
  done INTEGER,
  runs INTEGER NOT NULL,
  listed INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, erasure)
) STRICT, WITHOUT ROWID;

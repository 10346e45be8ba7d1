CREATE TABLE schedules (
  tenant TEXT NOT NULL,
  workflow TEXT NOT NULL,
  name TEXT NOT NULL,
  next INTEGER,
  last BLOB,
  queued INTEGER NOT NULL,
  PRIMARY KEY (tenant, workflow, name)
) STRICT, WITHOUT ROWID;

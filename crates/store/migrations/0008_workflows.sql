CREATE TABLE workflows (
  workflow TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (workflow, version)
) STRICT, WITHOUT ROWID;

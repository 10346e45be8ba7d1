CREATE TABLE accounts (
  tenant TEXT NOT NULL,
  org TEXT NOT NULL,
  every TEXT NOT NULL,
  start INTEGER NOT NULL,
  posted INTEGER NOT NULL,
  uncertain INTEGER NOT NULL,
  topped_up INTEGER NOT NULL,
  forgiven INTEGER NOT NULL,
  PRIMARY KEY (tenant, org, every, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE channels (
  tenant TEXT NOT NULL,
  channel TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (
  tenant TEXT NOT NULL,
  notice BLOB NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, notice)
) STRICT, WITHOUT ROWID;

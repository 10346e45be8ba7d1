CREATE TABLE tenant_keys (
  tenant TEXT NOT NULL,
  version INTEGER NOT NULL,
  root BLOB NOT NULL,
  wrapped BLOB NOT NULL,
  PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

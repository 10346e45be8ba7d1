CREATE TABLE expiry_late (
  tenant TEXT NOT NULL,
  what TEXT NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (tenant, what, run)
) STRICT, WITHOUT ROWID;

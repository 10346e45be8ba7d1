CREATE TABLE uses (
  tenant TEXT NOT NULL,
  tool TEXT NOT NULL,
  rule TEXT NOT NULL,
  used TEXT NOT NULL,
  PRIMARY KEY (tenant, tool, rule)
) STRICT, WITHOUT ROWID;

CREATE TABLE review_events (
  tenant TEXT NOT NULL,
  review BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (tenant, review, sequence)
) STRICT, WITHOUT ROWID;

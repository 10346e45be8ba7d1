CREATE TABLE reviews (
  tenant TEXT NOT NULL,
  review BLOB NOT NULL,
  state TEXT NOT NULL,
  ended INTEGER,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, review)
) STRICT, WITHOUT ROWID;

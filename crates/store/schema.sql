-- The newest schema: what the chain of migrations leads to. A test compares the two.
-- Every key of a tenant's rows begins with the tenant. Run ids are the 16 bytes of a UUID; times are microseconds since
-- the Unix epoch; facts that SQL need not search are JSON text. What tenants say and get is sealed: `input`, `output`,
-- `payload`, `fault`, `sealed`, and `payloads.body`.

CREATE TABLE cells (
  cell INTEGER NOT NULL PRIMARY KEY CHECK (cell = 0),
  epoch INTEGER NOT NULL) STRICT;

CREATE TABLE orgs (org TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tiers (tier TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (tenant TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE contexts (
  tenant TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE pools (pool TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE valves (
  cell INTEGER NOT NULL PRIMARY KEY CHECK (cell = 0),
  body TEXT NOT NULL
) STRICT;

CREATE TABLE workflows (
  workflow TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (workflow, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
  key TEXT NOT NULL PRIMARY KEY,
  digest BLOB NOT NULL,
  role TEXT NOT NULL,
  created INTEGER NOT NULL,
  label TEXT NOT NULL
, expires INTEGER, sign_in TEXT, rate INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  workflow TEXT NOT NULL,
  version INTEGER NOT NULL,
  context INTEGER NOT NULL,
  lane TEXT NOT NULL,
  status TEXT NOT NULL,
  outcome TEXT,
  created INTEGER NOT NULL,
  ended INTEGER,
  deadline INTEGER,
  parent TEXT,
  schedule TEXT,
  revision INTEGER NOT NULL,
  input_bytes INTEGER NOT NULL,
  input BLOB, money TEXT, requester TEXT, replans INTEGER NOT NULL DEFAULT 0, key BLOB, fault BLOB, subject BLOB, bare INTEGER NOT NULL DEFAULT 0, trace TEXT,
  PRIMARY KEY (tenant, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  step INTEGER NOT NULL,
  part INTEGER NOT NULL,
  state TEXT NOT NULL,
  detail TEXT,
  attempt INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  since INTEGER NOT NULL,
  ready INTEGER NOT NULL,
  output BLOB, fault BLOB, worked TEXT,
  PRIMARY KEY (tenant, run, step, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE payloads (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  step INTEGER NOT NULL,
  part INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (tenant, run, step, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE signals (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  name TEXT NOT NULL,
  at INTEGER NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (tenant, run, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  run BLOB NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
  tenant TEXT NOT NULL,
  workflow TEXT NOT NULL,
  name TEXT NOT NULL,
  next INTEGER,
  last BLOB,
  queued INTEGER NOT NULL,
  PRIMARY KEY (tenant, workflow, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tools (tool TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE budget_classes (class TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE models (model TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE prices (price TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE policies (policy TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE residency (kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;

CREATE TABLE uses (
  tenant TEXT NOT NULL,
  tool TEXT NOT NULL,
  rule TEXT NOT NULL,
  used TEXT NOT NULL,
  PRIMARY KEY (tenant, tool, rule)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE calls (
  tenant TEXT NOT NULL,
  id INTEGER NOT NULL,
  run BLOB,
  step INTEGER,
  part INTEGER,
  attempt INTEGER,
  model TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  upstream TEXT NOT NULL,
  rung TEXT,
  began INTEGER NOT NULL,
  ended INTEGER,
  hold TEXT,
  input INTEGER NOT NULL,
  cached INTEGER NOT NULL,
  output INTEGER NOT NULL,
  is_certain INTEGER NOT NULL,
  cost INTEGER NOT NULL, considered TEXT,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reviewer_pools (pool TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE reviews (
  tenant TEXT NOT NULL,
  review BLOB NOT NULL,
  state TEXT NOT NULL,
  ended INTEGER,
  run BLOB, sealed BLOB,
  PRIMARY KEY (tenant, review)
) STRICT, WITHOUT ROWID;

CREATE TABLE review_events (
  tenant TEXT NOT NULL,
  review BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  at INTEGER NOT NULL,
  run BLOB, sealed BLOB,
  PRIMARY KEY (tenant, review, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE channels (
  tenant TEXT NOT NULL,
  channel TEXT NOT NULL,
  sealed BLOB,
  PRIMARY KEY (tenant, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (
  tenant TEXT NOT NULL,
  notice BLOB NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, notice)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created);

CREATE INDEX runs_live ON runs (tenant, run) WHERE ended IS NULL;

CREATE INDEX runs_by_parent ON runs (tenant, parent ->> '$.run', parent -> '$.instance', created)
  WHERE parent IS NOT NULL;

CREATE INDEX calls_by_time ON calls (tenant, began);

CREATE INDEX calls_by_run ON calls (tenant, run, id) WHERE run IS NOT NULL;

CREATE INDEX calls_open ON calls (tenant, id) WHERE ended IS NULL;

CREATE INDEX reviews_open ON reviews (tenant, review) WHERE ended IS NULL;

CREATE TABLE replans (
  tenant TEXT NOT NULL,
  run BLOB NOT NULL,
  number INTEGER NOT NULL,
  sealed BLOB,
  PRIMARY KEY (tenant, run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_keys (
  tenant TEXT NOT NULL,
  version INTEGER NOT NULL,
  root BLOB NOT NULL,
  wrapped BLOB NOT NULL,
  PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX reviews_by_id ON reviews (review);

CREATE TABLE audit (
  tenant TEXT NOT NULL,
  last INTEGER NOT NULL,
  first INTEGER NOT NULL,
  at INTEGER NOT NULL,
  head BLOB NOT NULL,
  records TEXT NOT NULL,
  PRIMARY KEY (tenant, last)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_checkpoints (
  tenant TEXT NOT NULL,
  last INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, last)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX audit_checkpoints_by_ordinal ON audit_checkpoints (ordinal);

CREATE TABLE audit_open (
  turn INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  heads BLOB NOT NULL,
  sections TEXT NOT NULL
) STRICT;

CREATE INDEX runs_by_subject ON runs (tenant, subject, run) WHERE subject IS NOT NULL;

CREATE INDEX reviews_by_run ON reviews (tenant, run);

CREATE TABLE erasures (
  tenant TEXT NOT NULL,
  erasure BLOB NOT NULL,
  asked INTEGER NOT NULL,
  done INTEGER,
  runs INTEGER NOT NULL,
  listed INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, erasure)
) STRICT, WITHOUT ROWID;

CREATE INDEX erasures_open ON erasures (asked, tenant, erasure) WHERE done IS NULL;

CREATE TABLE expiry (
  tenant TEXT NOT NULL,
  what TEXT NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (tenant, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE expiry_late (
  tenant TEXT NOT NULL,
  what TEXT NOT NULL,
  run BLOB NOT NULL,
  PRIMARY KEY (tenant, what, run)
) STRICT, WITHOUT ROWID;

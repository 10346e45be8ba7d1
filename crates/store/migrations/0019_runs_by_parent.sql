CREATE INDEX runs_by_parent ON runs (tenant, parent ->> '$.run', parent -> '$.instance', created)
  WHERE parent IS NOT NULL;

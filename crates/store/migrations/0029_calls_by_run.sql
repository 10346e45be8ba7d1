CREATE INDEX calls_by_run ON calls (tenant, run, id) WHERE run IS NOT NULL;

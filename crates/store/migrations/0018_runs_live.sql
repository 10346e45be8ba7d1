CREATE INDEX runs_live ON runs (tenant, run) WHERE ended IS NULL;

CREATE INDEX runs_by_subject ON runs (tenant, subject, run) WHERE subject IS NOT NULL;

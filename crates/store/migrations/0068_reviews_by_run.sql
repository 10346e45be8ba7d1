CREATE INDEX reviews_by_run ON reviews (tenant, run);

CREATE INDEX reviews_open ON reviews (tenant, review) WHERE ended IS NULL;

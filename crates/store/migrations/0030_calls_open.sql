CREATE INDEX calls_open ON calls (tenant, id) WHERE ended IS NULL;

CREATE INDEX erasures_open ON erasures (asked, tenant, erasure) WHERE done IS NULL;

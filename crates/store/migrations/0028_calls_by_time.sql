CREATE INDEX calls_by_time ON calls (tenant, began);

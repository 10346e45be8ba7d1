CREATE UNIQUE INDEX audit_checkpoints_by_ordinal ON audit_checkpoints (ordinal);

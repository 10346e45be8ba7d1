ALTER TABLE cells DROP COLUMN decisions;

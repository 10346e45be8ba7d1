ALTER TABLE calls ADD COLUMN considered TEXT;

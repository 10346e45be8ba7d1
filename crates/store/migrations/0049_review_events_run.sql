ALTER TABLE review_events ADD COLUMN run BLOB;

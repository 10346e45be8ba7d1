ALTER TABLE review_events ADD COLUMN sealed BLOB;

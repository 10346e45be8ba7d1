ALTER TABLE review_events DROP COLUMN event;

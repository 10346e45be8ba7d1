CREATE INDEX reviews_by_id ON reviews (review);

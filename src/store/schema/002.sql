-- Repeats are recognised from memory (repeats.rs): an index of random digests was most of what a burst wrote.
DROP INDEX deliveries_by_guid;
DROP INDEX deliveries_by_digest;

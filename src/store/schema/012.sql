-- Bodies of the newest deliveries, as JSON and with secrets blotted out.
CREATE TABLE payloads (
  delivery INTEGER PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
  body     TEXT NOT NULL
);

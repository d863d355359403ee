-- What each container of a project read at its last start that turnout knows of: labels cannot change after creation.
CREATE TABLE reads (
  project   TEXT NOT NULL,
  container TEXT NOT NULL,
  reads     TEXT NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (project, container)
) WITHOUT ROWID;

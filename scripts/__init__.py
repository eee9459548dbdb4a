"""Programs, one verb each; `evidence` makes the pages of docs/evidence."""

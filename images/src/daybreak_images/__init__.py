"""Builder of Daybreak's container images."""

"""Library of the replication workflow: one package per stage, shared modules beside them."""

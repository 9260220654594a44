"""distill/losses."""

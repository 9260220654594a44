"""distill/metrics."""

"""distill/report."""

"""The commands, thin: each reads its command line and calls what does the work."""

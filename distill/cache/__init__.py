"""The teacher cache: what it holds, its files, and answers read from it."""

"""Lessons: how arms are taught, step by step, and go on after an interruption."""

"""Checks before a run: of the data, the teacher, the losses and the student, each with its remedy."""

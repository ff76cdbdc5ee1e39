"""Checks of a run: against a stored run (regressions), and against what the papers published."""

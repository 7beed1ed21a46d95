"""Tracker: facts of the flow -> the catalogue."""

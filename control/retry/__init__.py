"""Retry: records that wait for their next try -> the redo topic of their stage."""

"""Eraser: a request to delete a video -> no trace of it in any store."""

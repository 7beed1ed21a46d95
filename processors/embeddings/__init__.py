"""Transcripts to vectors."""

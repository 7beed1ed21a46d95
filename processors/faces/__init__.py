"""Faces to tracks and vectors."""

"""Faces to what they feel like."""

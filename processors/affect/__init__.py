"""Facial expressions to tags."""

"""Frames to vectors and tags."""

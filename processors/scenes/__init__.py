"""Cuts to scenes."""

"""Sampled frames and keyframes."""

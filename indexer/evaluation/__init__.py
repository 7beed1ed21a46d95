"""Evaluation: scenes, queries and judgements -> how well each channel and the whole find what they should."""

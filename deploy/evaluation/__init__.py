"""Evaluation: a folder of scenes and queries, and a home -> what its search makes of them."""

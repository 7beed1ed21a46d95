"""Is it a video we take, and what is it?"""

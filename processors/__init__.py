"""The stages of the flow but commit, one noun a folder.

``stage.py`` decides and is pure; ``worker.py`` fetches what a run rests on; ``child.py`` does the work in the model
child; ``artifact.py`` says what ``stage.py`` made in bytes, and back.
"""

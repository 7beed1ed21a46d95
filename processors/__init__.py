"""The stages of the flow but commit: one noun a folder, stage.py (pure) and worker.py (its edge)."""

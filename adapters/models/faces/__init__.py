"""Images to faces and their vectors."""

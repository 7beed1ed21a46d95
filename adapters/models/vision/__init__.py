"""Images and texts to vectors in one space, images to tags."""

"""Search: a sentence -> scenes, while they are being found."""

"""People: tracks of faces and a gallery -> who is in which scene."""

"""Builder: a generation that was asked for -> its text index, with every video in it."""

"""Control: the consumers and sweepers that are not stages."""

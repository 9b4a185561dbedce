"""Other methods on the same split as the flows."""

"""`compile`, `fit`, `evaluate`, and the data they take."""

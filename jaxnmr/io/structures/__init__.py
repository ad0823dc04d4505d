"""Crystal structures and computed tensors on disk."""

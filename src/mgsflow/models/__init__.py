"""The models: their architectures and their storage on disk."""

"""The models: their architectures and how they are kept on disk."""

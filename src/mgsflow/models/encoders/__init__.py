"""Image encoders: networks that turn a stamp into a few numbers."""

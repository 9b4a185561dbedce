"""The leakage report: what the test set's figures might owe to something else than the inputs."""

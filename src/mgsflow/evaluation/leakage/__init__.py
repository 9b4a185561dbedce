"""The leakage report: ways other than the inputs by which test-set scores could be raised."""

"""The archive of a run, which anybody can verify and rerun, and its verification."""

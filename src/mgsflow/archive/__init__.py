"""The archive of a run: packed so that anybody can verify and rerun it, and its verification."""

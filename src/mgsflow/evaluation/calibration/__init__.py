"""Whether posteriors mean what they say: ranks, coverage, scores, local tests, a plain verdict."""

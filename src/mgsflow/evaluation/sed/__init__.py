"""Fits of spectral energy distributions, which the posteriors are set beside: bagpipes, kcorrect.

Runs in the environment `sed`, of which the other environments know nothing.
"""

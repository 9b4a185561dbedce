"""Fits of spectral energy distributions by bagpipes and kcorrect, to compare with the posteriors.

They run in the environment `sed`; the other environments do not have these packages.
"""

"""From a sky's catalogue to the sample: selection, targets, photometry, stamps, disjoint sets."""

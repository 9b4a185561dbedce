"""From the catalogue to the sample: selection, targets, photometry, stamps, disjoint sets."""

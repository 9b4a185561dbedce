"""What a computing site offers, and whether it is what a run needs."""

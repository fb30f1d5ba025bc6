"""What the doors refused: kept for a while, so that who misses lines can see why they are not there."""

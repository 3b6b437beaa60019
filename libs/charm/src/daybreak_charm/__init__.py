"""What every charm of Daybreak is written in."""

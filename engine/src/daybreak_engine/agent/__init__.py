"""The agent of one unit: decides, dispatches, commits; one operation at a time."""

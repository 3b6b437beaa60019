"""The operator's command of Daybreak."""

"""The hook tools: what a charm says to the agent while a hook runs."""

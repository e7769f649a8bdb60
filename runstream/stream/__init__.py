"""`RunStream`: sources, engine and subscribers joined in one event loop."""

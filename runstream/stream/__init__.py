"""`RunStream`: sources, engine and subscribers in one event loop."""

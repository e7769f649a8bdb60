"""Sources, engine and subscribers joined: `run_stream` is the door, `pump` runs the sources, `hub` fans out."""

"""All stages in one synchronous pass: raw items in, signals and states out, for any number of sources and runs."""

"""Where signals and states go: logs, a terminal, a browser."""

"""Checks against servers and clients that others wrote, run on loopback with scripted models."""

"""Tests of AG-UI out."""

"""Tests of the wire model."""

"""Ingests and workers on many machines over NATS JetStream (extra ``jetstream``); see docs/cluster.md."""

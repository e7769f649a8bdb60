"""Runs as a UI message stream: the protocol of `useChat` and of the other front ends of the npm package `ai`.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
"""

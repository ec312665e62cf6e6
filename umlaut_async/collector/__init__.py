"""The collector: one asyncio loop, never the user's, that samples and writes."""

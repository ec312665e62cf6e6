"""The synchronous API that UMLAUT documented, over the same core."""

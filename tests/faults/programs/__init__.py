"""Programs that showed a fault once, one for each; a test runs each of them, in a process of its own."""

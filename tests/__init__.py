"""The tests: real parts, not mocks."""

"""The database: models, files and engines, packed samples, bulk inserts and typed queries."""

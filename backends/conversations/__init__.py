"""Where conversations are kept: SQLite in the data folder, or PostgreSQL for several workers."""

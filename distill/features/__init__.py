"""Features of networks: where a method reads them, and how they are heard on the way."""

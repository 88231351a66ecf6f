"""The shell around the core: Kafka, Redis, HTTP, the clock and the command line."""

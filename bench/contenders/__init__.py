"""Other ways to do the same job, each a process of its own."""

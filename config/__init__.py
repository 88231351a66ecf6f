"""What a person sets: where things run, and what is measured and grouped."""

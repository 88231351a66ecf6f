"""The deterministic core: values and *now* go in, values come out."""

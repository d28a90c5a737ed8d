"""Pictures: arrays and plain values in, a matplotlib Figure out."""

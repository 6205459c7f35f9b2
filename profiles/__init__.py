"""Device, model, sweep and claim profiles: their schema, how they are read, and the data."""

"""Training over several accelerators in a pipeline, simulated: what they are, and when each works on what."""

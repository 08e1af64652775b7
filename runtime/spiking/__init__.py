"""Spiking networks: their synapses as arrays, their neurons step by step, and programs that run them."""

"""Kernels as IR: each file writes one kernel in func, scf, arith, memref and vector.

| file                    | kernel                                                           |
|-------------------------|------------------------------------------------------------------|
| `signature.py`          | what every kernel takes                                          |
| `entries.py`            | how it is entered: alone, or by each thread of a team            |
| `writing.py`            | small words to write kernels with                                |
| `skip_k.py`             | x w^T + bias, summed over active positions of k, of several rows |
| `skip_k_row.py`         | the same of one row                                              |
| `skip_k_stream.py`      | the same of few rows                                             |
| `skip_n.py`             | (x w^T + bias) gate, at active positions of n                    |
| `functions.py`          | which of them is written for so many rows                        |
| `support.py`            | an activation, and the list of active positions that it left     |
| `elementwise.py`        | a chain of elementwise calls                                     |
| `cross_entropy.py`      | the gradient of a cross entropy                                  |
| `attention.py`          | attention                                                        |
| `attention_backward.py` | its gradients                                                    |
| `heads.py`              | of both, heads in memory, and their rows                         |
| `small_product.py`      | of both, products of matrices in near caches                     |
| `product.py`            | a dense product; see also `product_tile.py` and `panels.py`      |
| `population.py`         | neurons of a spiking network over many steps                     |
| `spike_rows.py`         | of those, what spikes bring through weights                      |
| `spike_tiles.py`        | the same of several steps at once, where many fire               |
| `neurons.py`            | of those, the equations of one neuron                            |
| `spike_list.py`         | which neurons of an input are active                             |
"""

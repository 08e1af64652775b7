"""The fuzzer: random small models, compiled and compared with eager torch.

    generate ──> model ──> source ──> judge ──> shrink ──> FILE.py
    (seed)       (data)    (text)     (torch)   (data)     (a reproducer)

| module      | holds                                                                     |
|-------------|---------------------------------------------------------------------------|
| `model`     | a model as data: nodes, results, calls; and the types of its values       |
| `ops`       | the table of ops: how shapes go, how it is written as torch code          |
| `values`    | inputs: what they are called, and what numbers and masks they may hold    |
| `generate`  | a model from a seed                                                       |
| `source`    | the Python file that a model stands for                                   |
| `judge`     | compile that file's model, run it beside eager torch, say what differs    |
| `shrink`    | a smaller model that fails the same way                                   |
| `campaign`  | many models, and the files of those that fail                             |

Only `judge` and what it calls need torch.
"""

"""Measure a grid of cells: run what is missing, keep every result.

The way of a cell:

1. `request`: a command becomes a Request, plain values that are checked once.
2. `plan`: the Request becomes a Plan: images × parts (a method with its weights, scales and codecs), compact.
3. The plan hands out Cells (`cells`), plain values with a key; `execute` drops those that the run folder holds.
4. `schedule` puts cells together that may go through a network at once.
5. `dispatch` gives each batch to this process, to children of it (`guard`), or to the workers of Dask (`cluster`).
6. Where it arrives, a `worker` makes a Job of each cell: its texts are resolved into records, once.
7. `stages` prepare its image, send it through the halves of its method (`builds`) and the file between them, score it.
8. What came of it, or why nothing did, is one line, which `execute` appends to the journal before anything else.
9. When no cell is left, `execute` makes the table.
"""

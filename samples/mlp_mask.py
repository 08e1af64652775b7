"""The whole interface on a model of two linears: compile, explain, call, save, load.

The model overwrites its scores where a mask is false: those rows are dead, and nothing has to be said about it.
"""

import tempfile

import gossamer
import torch
from model import tagger


@torch.inference_mode()
def main() -> None:
    model, (words, keep) = tagger()
    fast = gossamer.compile(model, (words, keep), dynamic_shapes="auto")
    print(fast.explain(), "\n")

    torch.testing.assert_close(fast(words, keep), model(words, keep))
    torch.testing.assert_close(fast(words[:3, :50], keep[:3, :50]), model(words[:3, :50], keep[:3, :50]))
    print("equal to eager torch, on batches of other sizes too")

    with tempfile.TemporaryDirectory() as folder:
        fast.save(folder)
        again = gossamer.load(folder)
        torch.testing.assert_close(again(words, keep), model(words, keep))
    print("saved, loaded without the class of the model, and equal again")


if __name__ == "__main__":
    main()

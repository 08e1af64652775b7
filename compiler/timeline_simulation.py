"""`gossamer.simulate_pipeline`: a training step over a pipeline, by a policy and by what it is measured against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..passes.solvers.transformer import Transformer
from ..runtime.core_array.trace import write_trace
from ..runtime.timeline.trace import events_of
from .context import whole_file
from .timeline import Outcome, Pipeline
from .timeline_policies import BASELINES
from .timeline_setting import Setting, setting


@dataclass(frozen=True)
class PipelineSimulation:
    """Policies by name, the one that was asked for, and seconds that no step is faster than: `bound`, even where
    nothing is recomputed, and `bound_within`, of those that fit into memory (`compiler/timeline_bound.py`)."""

    setting: Setting
    outcomes: dict[str, Outcome]
    policy: str
    bound: float
    bound_within: float

    @property
    def chosen(self) -> Outcome:
        """The policy that was asked for."""
        return self.outcomes[self.policy]

    @property
    def seconds(self) -> float:
        """Of a step by that policy; infinite where it does not fit into memory."""
        return self.chosen.seconds

    def ratio(self, policy: str) -> float:
        """How many times as long a step takes by another policy."""
        return self.outcomes[policy].seconds / self.seconds

    def __str__(self) -> str:
        from .timeline_report import report

        return report(self)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for programs."""
        from .timeline_report import figures

        return figures(self)

    def write_trace(self, path: str | Path) -> None:
        """Write what each device does when, for chrome://tracing and Perfetto."""
        timeline = self.chosen.timeline
        with whole_file(Path(path)) as draft, draft.open("w", encoding="utf-8") as out:
            write_trace(out, events_of(timeline, self.chosen.static) if timeline else iter(()))

    def write_plots(self, folder: str | Path) -> list[Path]:
        """Draw the devices' tasks and memory over time. Gives the files."""
        from .timeline_plots import draw

        return draw(self, Path(folder))


def simulate_pipeline(
    model: str | Transformer, *, policy: str = "mix", baselines: Sequence[str] = BASELINES,
    show: Callable[[str], object] = lambda text: None, **options: Any,
) -> PipelineSimulation:  # fmt: skip
    """Simulate a training step of a transformer over a pipeline, with what must be recomputed to fit into memory.

        found = gossamer.simulate_pipeline("gpt-6.7b", hardware="a100-nvlink", tensor_parallel=4, stages=4,
                                           micro_batch=8, memory="36GiB")
        print(found)                                  # policies, the bound, memory, where recomputation hides
        found.seconds, found.ratio("full")            # and in numbers

    See `compiler/timeline_setting.py` for the options, `compiler/timeline_policies.py` for policies. Raises UserError
    where they do not fit.
    """
    pipeline = Pipeline(setting(model, **options), show=show)
    outcomes = {name: pipeline.best(name) for name in dict.fromkeys((*baselines, policy))}
    bounds = pipeline.bounds
    show(f"{pipeline.setting.name}: what no step that fits is under")
    return PipelineSimulation(pipeline.setting, outcomes, policy, bounds.free, bounds.within(outcomes[policy].seconds))

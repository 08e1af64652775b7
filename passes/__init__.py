"""Passes by name. A pass is one file, its stem the pass's name; it is loaded when it is first asked for.

PASSES["insert-gathers"] == "gossamer.passes.insert_gathers:InsertGathers"
"""

from importlib import import_module

from xdsl.passes import ModulePass

PASSES: dict[str, str] = {
    "simplify": "gossamer.passes.simplify:Simplify",
    "roll-steps": "gossamer.passes.roll_steps:RollSteps",
    "split-batch-norm": "gossamer.passes.split_batch_norm:SplitBatchNorms",
    "raise-snn": "gossamer.passes.raise_snn:RaiseSnn",
    "detect-sparsity": "gossamer.passes.detect_sparsity:DetectSparsity",
    "insert-gathers": "gossamer.passes.insert_gathers:InsertGathers",
    "sink-scatters": "gossamer.passes.sink_scatters:SinkScatters",
    "guard-density": "gossamer.passes.guard_density:GuardDensity",
    "threshold-activations": "gossamer.passes.threshold_activations:ThresholdActivations",
    "insert-skips": "gossamer.passes.insert_skips:InsertSkips",
    "restore-activations": "gossamer.passes.restore_activations:RestoreActivations",
    "choose-tiles": "gossamer.passes.choose_tiles:ChooseTiles",
    "lower-products": "gossamer.passes.lower_products:LowerProducts",
    "lower-networks": "gossamer.passes.lower_networks:LowerNetworks",
    "fuse-launches": "gossamer.passes.fuse_launches:FuseLaunches",
    "lower-kernels": "gossamer.passes.lower_kernels:LowerKernels",
    "partition-cores": "gossamer.passes.partition_cores:PartitionCores",
    "place-cores": "gossamer.passes.place_cores:PlaceCores",
    "assign-dependencies": "gossamer.passes.assign_dependencies:AssignDependencies",
    "raise-collectives": "gossamer.passes.raise_collectives:RaiseCollectives",
    "open-windows": "gossamer.passes.open_windows:OpenWindows",
    "elide-caches": "gossamer.passes.elide_caches:ElideCaches",
    "fuse-cross-entropy": "gossamer.passes.fuse_cross_entropy:FuseCrossEntropy",
    "fuse-attention": "gossamer.passes.fuse_attention:FuseAttention",
    "fuse-elementwise": "gossamer.passes.fuse_elementwise:FuseElementwise",
    "tile-products": "gossamer.passes.tile_products:TileProducts",
    "split-random-ops": "gossamer.passes.split_random_ops:SplitRandomOps",
    "key-random-ops": "gossamer.passes.key_random_ops:KeyRandomOps",
    "schedule-recompute": "gossamer.passes.schedule_recompute:ScheduleRecompute",
    "convert-memref-to-llvm": "gossamer.passes.convert_memref_to_llvm:ConvertMemrefToLLVM",
    "convert-vector-to-llvm": "gossamer.passes.convert_vector_to_llvm:ConvertVectorToLLVM",
    "convert-arith-to-llvm": "gossamer.passes.convert_arith_to_llvm:ConvertArithToLLVM",
    "convert-cf-to-llvm": "gossamer.passes.convert_cf_to_llvm:ConvertCfToLLVM",
    "convert-func-to-llvm": "gossamer.passes.convert_func_to_llvm:ConvertFuncToLLVM",
    "cse": "xdsl.transforms.common_subexpression_elimination:CommonSubexpressionElimination",
    "dce": "xdsl.transforms.dead_code_elimination:DeadCodeElimination",
    "canonicalize": "xdsl.transforms.canonicalize:CanonicalizePass",
}
"""Where each pass lives, in the order of the default pipeline; xDSL's own come last."""


def load_pass(name: str) -> type[ModulePass]:
    """The class of pass `name`. Raises KeyError when there is none."""
    module, _, attribute = PASSES[name].partition(":")
    return getattr(import_module(module), attribute)

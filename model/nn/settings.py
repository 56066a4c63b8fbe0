"""Sizes and kinds of the networks; what they read is fixed by the feature spec."""

from typing import Literal

from model.features.spec import Frozen


class NetSettings(Frozen):
    """Hyper-parameters of the networks; every field may be set by a recipe's [training] table."""

    heads: int = 2  # attention heads of the user tower
    layers: int = 2  # transformer layers of the user tower
    widening: int = 2  # hidden width of a feed-forward layer, in multiples of D
    dropout: float = 0.2
    target_heads: int = 2  # attention heads of the ranker over the history
    target_width: int = 16  # what one of them reads
    ranker_width: int = 128  # width of what the ranker makes of user and context
    experts: Literal["shared_bottom", "mmoe", "ple"] = "mmoe"
    n_experts: int = 4
    expert_width: int = 32  # width of an expert's first layer
    expert_output: int = 32  # width of what experts give to the gates
    item_width: int = 256  # hidden units that cross an item's text, attributes and graph
    head_width: int = 32  # hidden width of a task's head
    graph_layers: int = 1  # how many steps neighbours are read in the graph
    text: bool = True  # switches for ablations: the part then adds nothing
    attributes: bool = True
    graph: bool = True
    sequence: bool = True
    context: bool = True
    counters: bool = True
    sharing: bool = True  # off: a ranker of its own for every task

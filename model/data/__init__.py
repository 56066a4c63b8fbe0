"""From a recipe's files to checked, split, labelled arrays."""

from model.data.loading import load
from model.data.log import TEST, TRAIN, VALID, Dataset, KnowledgeGraph, Links, Log, Records

__all__ = ["TEST", "TRAIN", "VALID", "Dataset", "KnowledgeGraph", "Links", "Log", "Records", "load"]

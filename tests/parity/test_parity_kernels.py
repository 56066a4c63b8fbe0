"""Where no C compiler was, numpy answers: an engine without native kernels gives the lists that one with them does."""

import json
import os
import subprocess
import sys

import pytest

from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from model.features import kernels
from model.features.fused import FusedRanker
from tests.pipelines import NOW, sealed_path, shared_engine

USERS = ["u1", "u2", "u19", "nobody-knows"]
WITHOUT = """
import importlib.util, json, sys
real = importlib.util.find_spec
native = "model.features.kernels._"
importlib.util.find_spec = lambda name, *rest: None if name.startswith(native) else real(name, *rest)
from pathlib import Path
from app.pipeline.engine import Engine
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from index.catalogue import LiveCatalogue
from model.bundle import open_bundle
from model.features import kernels
from model.features.fused import FusedRanker
bundle = open_bundle(Path(sys.argv[1]))
loops = isinstance(bundle.session("ranker"), FusedRanker)
engine, found = Engine(bundle, LiveCatalogue(bundle)), [kernels.NATIVE or loops]
for user in sys.argv[3:]:
    made = engine.recommend(UserInput(user), RecommendRequest(user_id=user, now=float(sys.argv[2])))
    found.append([made.item_ids, made.scores.tolist(), made.channels])
print(json.dumps(found))
"""


def test_an_engine_without_native_kernels_gives_the_same_lists() -> None:
    command = [sys.executable, "-c", WITHOUT, str(sealed_path()), str(NOW), *USERS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    native, *lists = json.loads(done.stdout)
    assert (native, kernels.NATIVE) == (False, True)
    assert isinstance(shared_engine().networks.ranker, FusedRanker)
    for user, (item_ids, scores, channels) in zip(USERS, lists, strict=True):
        ours = shared_engine().recommend(UserInput(user), RecommendRequest(user_id=user, now=NOW))
        assert item_ids == list(ours.item_ids)
        assert scores == pytest.approx(ours.scores.tolist(), abs=1e-5)
        assert channels == [list(names) for names in ours.channels]

"""The training reward is the library's CIDEr-D."""

import pytest

pytest.importorskip("torch")
cider = pytest.importorskip("pycocoevalcap.cider.cider")

from myvlm_engine.pocket.reward import CiderReward  # noqa: E402
from myvlm_engine.text_metrics import words  # noqa: E402

REFERENCES = {
    0: ["A dog runs on the grass.", "A brown dog is running."],
    1: ["Two men sit on a bench.", "Men on a bench in a park."],
    2: ["A boy jumps into a pool.", "A boy in the water."],
}
SAID = {0: "A dog is running on grass.", 1: "Two men on a bench.", 2: "A girl in a pool."}


def test_reward_equals_pycocoevalcap():
    truths = {k: [words(r) for r in refs] for k, refs in REFERENCES.items()}
    _, expected = cider.Cider().compute_score(truths, {k: [words(s)] for k, s in SAID.items()})
    reward = CiderReward(REFERENCES)
    assert [reward(SAID[k], k) for k in SAID] == pytest.approx(list(expected), rel=1e-4)

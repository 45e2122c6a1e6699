"""How heads are held against each other on a photo when it is measured: as the bot does it, closer looks included."""

import math

import numpy as np

from bot.answering import BALANCES, NORMAL
from bot.looking import looking
from bot.sights import regions_of, united
from myvlm_engine import recognition_eval
from myvlm_engine.concept_trial import FIRES_AT
from myvlm_engine.messages import Head, Sight, overlap, pack
from myvlm_engine.recognition.heads import CONFIRMED_LOGIT, CORRECTED_LOGIT, DOUBT_LOGIT

WHOLE, SMALL, INSIDE = (0.0, 0.0, 1.0, 1.0), (0.1, 0.1, 0.4, 0.4), (0.2, 0.2, 0.3, 0.3)


def sight(*rows, boxes, encoder="eye"):
    return Sight(encoder=encoder, width=2, vectors=pack(np.array(rows)), boxes=list(boxes))


def head(encoder="eye"):
    """Even odds at a score of 0.5."""
    return Head(encoder=encoder, width=2, vectors=pack(np.array([[1.0, 0.0]]), "float32"), biases=[0.0], slope=8.0, offset=-4.0)


def test_a_place_where_a_head_half_fires_is_seen_again_and_decides():
    asked = []

    def closer(places):
        asked.append(places)
        return [sight((0.9, 0.0), boxes=[INSIDE])]

    look, seen = looking({"Biscuit": head()}), [sight((0.1, 0.0), (0.3, 0.0), boxes=[WHOLE, SMALL])]
    ((_, unsure, where),) = look(seen, None)
    ((name, sure, inside),) = look(seen, closer)
    assert asked == [[SMALL]] and name == "Biscuit"
    assert unsure < 0.25 and sure > 0.7
    assert overlap(where, SMALL) > overlap(WHOLE, SMALL) and overlap(inside, INSIDE) > overlap(where, INSIDE)


def test_without_anything_to_find_out_nothing_is_seen_again():
    def closer(places):
        raise AssertionError(places)

    assert looking({"Biscuit": head()})([sight((-0.1, 0.0), boxes=[SMALL])], closer)
    assert looking({"Anna": head("faces")})([sight((0.3, 0.0), boxes=[SMALL], encoder="faces")], closer), "faces are all found as they are"


def test_what_was_seen_closer_is_added_to_what_the_same_encoder_saw():
    seen = [regions_of(sight((0.1, 0.0), boxes=[WHOLE])), regions_of(sight((0.2, 0.0), boxes=[WHOLE], encoder="faces"))]
    both, faces = united(seen, [regions_of(sight((0.3, 0.0), boxes=[SMALL])), regions_of(sight((0.4, 0.0), boxes=[SMALL], encoder="new"))])
    assert both.boxes == (WHOLE, SMALL) and both.vectors[:, 0].tolist() == [np.float16(0.1), np.float16(0.3)]
    assert both.closer_from == 1 and faces is seen[1] and united(seen, []) == seen


def test_what_is_measured_is_where_the_bot_names_and_asks():
    named = {name: balance.named_from for name, balance in BALANCES.items()}
    assert named == {NORMAL: FIRES_AT, **recognition_eval.BALANCES}
    assert {balance.asked_from for balance in BALANCES.values()} == {recognition_eval.ASKS_AT}


def test_on_every_balance_the_doubtful_are_asked_about_and_what_was_corrected_is_not():
    def probability(logit):
        return 1 / (1 + math.exp(-logit))

    for balance in BALANCES.values():
        assert probability(CORRECTED_LOGIT) < balance.asked_from <= probability(DOUBT_LOGIT) < balance.named_from
        assert probability(CONFIRMED_LOGIT) >= balance.named_from

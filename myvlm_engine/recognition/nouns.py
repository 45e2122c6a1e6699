"""The classifier's 1,000 ImageNet classes as everyday nouns: breeds are a dog, makes are a car, places are nothing.

Knows only probabilities in ImageNet's order; a hint for the class noun of a taught concept, which a member may overrule.
"""

from __future__ import annotations

from functools import cache

import numpy as np

SURE = 0.35  # of the summed probability of all classes of one noun

# Indices into ImageNet's 1,000 classes; ranges are (first, last), both included.
GROUPS: dict[str, tuple[int | tuple[int, int], ...]] = {
    "dog": ((151, 268), 273, 274, 275), "cat": ((281, 285),), "wolf": ((269, 272),), "fox": ((277, 280),), "bear": ((294, 297),),
    "fish": ((0, 6), (389, 397)), "bird": ((7, 24), (80, 100), (127, 146)), "lizard": ((38, 48),), "turtle": ((33, 37),),
    "frog": ((30, 32),), "salamander": ((25, 29),), "crocodile": (49, 50), "snake": ((52, 68),), "spider": ((72, 77),),
    "crab": ((118, 121), 125), "snail": (113,), "butterfly": ((321, 326),), "beetle": ((300, 307),), "rabbit": ((330, 332),),
    "squirrel": (335,), "horse": (339,), "pig": ((341, 343),), "cow": ((345, 347),), "sheep": (348, 349), "camel": (354,),
    "ferret": ((356, 359),), "monkey": ((365, 382),), "elephant": (385, 386, 101), "panda": (387, 388), "sloth": (364,),
    "car": (436, 468, 511, 609, 627, 656, 661, 717, 751, 817), "truck": (555, 569, 675, 864, 867), "bus": (654, 779, 874),
    "bicycle": (444, 671), "scooter": (665, 670), "train": (466, 547, 565, 705, 820, 829), "boat": (472, 484, 554, 576, 625, 814, 871, 914),
    "plane": (404, 895, 908), "guitar": (402, 546), "clock": (409, 530, 892, 826), "watch": (531,), "bag": (636, 748, 728),
    "bottle": (440, 720, 737, 898, 907), "glass": (441, 572), "mug": (504, 968, 967), "pot": (738, 469, 505, 521, 544), "bowl": (659, 809),
    "boot": (514,), "shoe": (502, 630, 770, 774), "hat": (439, 452, 515, 793, 808), "helmet": (518, 560, 715), "shirt": (610, 841),
    "dress": (578, 601, 689), "coat": (568, 617, 869), "sunglasses": (836, 837), "phone": (487, 528, 707), "keyboard": (508, 810, 878),
    "computer": (527, 620, 681, 590), "screen": (664, 782, 851), "camera": (732, 759), "lamp": (619, 846),
    "ball": (429, 430, 522, 574, 722, 768,
    805, 852, 890), "teddy bear": (850,), "chair": (423, 559, 765, 857), "sofa": (831,), "bed": (564, 431, 516, 520), "table": (532, 526),
    "box": (478, 492, 519), "basket": (588, 790), "pen": (418, 563), "book": (917, 921), "vase": (883,), "teapot": (849,), "candle": (470,),
    "pillow": (721,), "sock": (806, 496), "cup": (647,), "backpack": (414,), "toy": (865,), "piano": (579, 881), "drum": (541,),
}
PLACES = {406, 410, 415, 421, 424, 425, 442, 448, 449, 453, 454, 460, 467, 483, 489, 497, 498, 500, 509, 525, 536, 538, 580, 582, 598, 624,
          634, 640, 649, 660, 663, 668, 682, 698, 703, 706, 716, 718, 727, 743, 762, 781, 788, 799, 819, 821, 825, 832, 839, 853, 858, 860,
          863, 873, 877, 884, 888, 900, 904, 905, 912, 913, 915, 916, 981, 982, 983}
FIRST_THING, LAST_THING = 398, 969  # below are animals, above are places and plants


@cache
def nouns_of_classes() -> tuple[str | None, ...]:
    """The everyday noun of each of the 1,000 classes, None where a class is no thing one would teach."""
    from ..pocket.vision import imagenet_names

    nouns: list[str | None] = [name.lower() if FIRST_THING <= i <= LAST_THING else None for i, name in enumerate(imagenet_names())]
    for index in PLACES:
        nouns[index] = None
    for noun, members in GROUPS.items():
        for member in members:
            first, last = member if isinstance(member, tuple) else (member, member)
            nouns[first : last + 1] = [noun] * (last + 1 - first)
    return tuple(nouns)


def everyday_noun(probabilities: np.ndarray) -> str | None:
    """The surest noun of (1000,) class probabilities; None below SURE."""
    sums: dict[str, float] = {}
    for noun, probability in zip(nouns_of_classes(), probabilities.tolist(), strict=True):
        if noun:
            sums[noun] = sums.get(noun, 0.0) + probability
    surest = max(sums, key=lambda noun: sums[noun])
    return surest if sums[surest] >= SURE else None

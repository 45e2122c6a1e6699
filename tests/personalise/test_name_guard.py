"""Names that may not be said, against models that want nothing more than to say them."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from myvlm_engine.caption_scores import names_in  # noqa: E402
from myvlm_engine.vlms.base import Decoding  # noqa: E402
from myvlm_engine.vlms.name_guard import NameGuard, guarded  # noqa: E402
from myvlm_engine.vlms.name_rule import NameRule  # noqa: E402

NAMES = ("Biscuit", "Corgi Joe", "Anna", "Ömer", "ビスケット", "小白", "Жучка", "Mr. T", "O'Neil")


@pytest.mark.parametrize(
    "text",
    [
        "Biscuit runs.", "A dog called BISCUIT", "biscuit's ball", "the (Biscuit)", "_Biscuit_ sleeps", "Corgi  Joe", "corgi\njoe.",
        "Bis\u200bcuit", "Ｂiscuit", "O\u0308mer", "ömer sits", "これはビスケットです", "我的小白在睡觉", "жучка", "mr. t runs",
        "O'Neil's hat",
    ],
)  # fmt: skip
def test_a_name_stands_in_a_text_however_it_is_written(text):
    assert NameRule(NAMES).broken_by(text)


@pytest.mark.parametrize("text", ["Biscuits on a plate", "Annabel", "corgi and joe", "A man on a board.", "", "Hannah", "Mr. Tom"])
def test_other_words_are_no_names(text):
    assert NameRule(NAMES).broken_by(text) is None


def test_a_name_inside_an_allowed_name_may_stand_there_only():
    rule = NameRule(("Joe",), ("Corgi Joe", "Joe Black"))
    assert rule.broken_by("Corgi Joe and Joe Black run") is None
    assert rule.broken_by("Corgi Joe and Joe") == "joe"
    assert rule.broken_by("Here is Joe", unfinished=True) is None  # may still become Joe Black
    assert rule.broken_by("Here is Joe", unfinished=False) == "joe"
    assert rule.broken_by("Here is Joe Bl", unfinished=True) is None
    assert rule.broken_by("Here is Joe Br", unfinished=True) == "joe"


END = 0


class Loving:
    """A model whose every word is a piece of a name: random pieces, and random love for each at each step."""

    def __init__(self, names, seed: int):
        self.rng = random.Random(seed)
        pieces = {piece for name in names for piece in self.cut(name)}
        plain = [" a", " dog", " and", "s", ".", " ", "'s", "-", "\n", "A", "é"]
        self.words = ["<end>", *sorted(pieces | {p.upper() for p in pieces} | {p.lower() for p in pieces}), *plain]

    def cut(self, name: str) -> list[str]:
        """The whole, its letters, and two cuts at random places, with and without a space before."""
        at = sorted(self.rng.sample(range(len(name) + 1), 2))
        parts = [name, *name, name[: at[0]], name[at[0] : at[1]], name[at[1] :]]
        return [lead + p for p in parts if p for lead in ("", " ")]

    def decode(self, sequences) -> list[str]:
        return ["".join(self.words[token] for token in tokens if token != END) for tokens in sequences]

    def scores(self) -> torch.Tensor:
        love = torch.tensor([self.rng.random() * (1 if w in (" a", " dog", " and") else 9) for w in self.words])
        love[END] = self.rng.random() * 6
        return love

    def answer(self, guard: NameGuard | None, length: int) -> str:
        said: list[int] = []
        while len(said) < length:
            scores = self.scores()[None]
            if guard:
                scores = guard(torch.tensor([said], dtype=torch.long), scores)
            token = int(scores.argmax())
            if token == END:
                break
            said.append(token)
        self.ran_out = len(said) == length
        return self.decode([said])[0]


@pytest.mark.slow
def test_a_model_that_loves_the_names_says_none_of_them_in_10_000_answers():
    wrong = unguarded = answers = 0
    for seed in range(100):
        names = random.Random(seed).sample(NAMES, 3)
        model = Loving(names, seed)
        rule = NameRule(tuple(names))
        guard = NameGuard(rule, model.decode, [END], checked=4)
        for _ in range(100):
            wrong += rule.broken_by(model.answer(guard, 10)) is not None
            answers += 1
        unguarded += sum(rule.broken_by(model.answer(None, 10)) is not None for _ in range(5))
    assert (wrong, answers) == (0, 10_000)
    assert unguarded > 250  # of 500: without the guard it is said most of the time


def test_an_allowed_name_is_said_whole_or_not_at_all():
    whole = 0
    for seed in range(50):
        model = Loving(["Joe", "Joe Black"], seed)
        rule = NameRule(("Joe",), ("Joe Black",))
        said = model.answer(NameGuard(rule, model.decode, [END], checked=4), 12)
        assert rule.broken_by(said, unfinished=True) is None
        if rule.broken_by(said):  # it ran out of tokens in the middle of the allowed name; it can't have ended there by itself
            assert model.ran_out
        whole += "joe black" in said.lower()
    assert whole > 0


def test_a_longer_name_isn_t_completed_by_an_allowed_one():
    words = ["", " Corgi", " Joe", " dog", " Jean", "-", "Luc", " O", "’", "Malley"]
    tokenizer = SimpleNamespace(batch_decode=lambda sequences, **_: ["".join(words[t] for t in tokens) for tokens in sequences])

    def follows(said, forbidden, allowed):
        guard = guarded(tokenizer, Decoding(forbidden=forbidden, allowed=allowed), [END])[0]
        return {words[t] for t in guard.keepers([words.index(w) for w in said], torch.ones(len(words)))}

    assert " Joe" not in follows([" Corgi"], ("Corgi Joe",), ("Joe",))
    assert " Joe" in follows([" dog"], ("Corgi Joe",), ("Joe",))
    assert " Joe" in follows([" Corgi"], ("Joe",), ("Corgi Joe",)) and " Joe" not in follows([" dog"], ("Joe",), ("Corgi Joe",))
    assert "-" in follows([" Jean"], ("Jean",), ("Jean-Luc",)) and "Luc" in follows([" Jean", "-"], ("Jean",), ("Jean-Luc",))
    assert "Luc" not in follows([" Jean", "-"], ("Jean Luc",), ())
    assert "Malley" not in follows([" O", "’"], ("O'Malley",), ())


def test_a_model_that_loves_the_names_says_no_longer_one_for_a_shorter_one():
    wrong = right = 0
    for seed in range(50):
        names = ["Joe", "Joe Black"]
        model = Loving(names, seed)
        said = model.answer(NameGuard(NameRule(("Joe Black",), ("Joe",)), model.decode, [END], checked=4), 12)
        wrong += "Joe Black" in names_in(said, names)
        right += "Joe" in names_in(said, names)
    assert wrong == 0 < right


def test_where_every_word_is_refused_the_answer_ends():
    model = Loving(["A"], 1)
    guard = NameGuard(NameRule(("A",)), model.decode, [END], opening="A")
    scores = guard(torch.zeros(1, 0, dtype=torch.long), model.scores()[None])
    assert [int(i) for i in (scores[0] > -torch.inf).nonzero()] == [END]


@pytest.mark.slow
def test_the_embedded_vlm_s_tokenizer_finds_no_way_to_spell_a_name():
    """A model that wishes for nothing but a name, cut into real tokens anywhere and in any case."""
    transformers = pytest.importorskip("transformers")
    from myvlm_engine.pocket.weights import PocketMissing, gguf_path

    try:
        path = gguf_path()
    except PocketMissing as missing:
        pytest.skip(f"LOUD: the embedded VLM isn't installed: {missing}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    names, end = ("Biscuit", "Corgi Joe", "Ömer", "小白"), tokenizer.convert_tokens_to_ids("<|im_end|>")
    guard = guarded(tokenizer, Decoding(forbidden=names), [end])[0]
    chance, noise = random.Random(0), torch.Generator().manual_seed(0)
    for _ in range(100):
        wished = spelled(tokenizer, chance.choice(names), chance)
        assert NameRule(names).broken_by(tokenizer.decode(wished))
        tokens: list[int] = []
        for wish in wished:
            scores = torch.rand(len(tokenizer), generator=noise)
            scores[wish] = 9
            tokens.append(int(guard(torch.tensor([tokens], dtype=torch.long), scores[None])[0].argmax()))
        assert tokens[:3] == wished[:3] and tokens != wished  # it gave in where the name would have been whole
        assert NameRule(names).broken_by(tokenizer.decode(tokens, skip_special_tokens=True)) is None


def spelled(tokenizer, name: str, chance: random.Random) -> list[int]:
    """Tokens of a sentence that says the name: in any case, cut anywhere."""
    name = chance.choice([str, str.lower, str.upper, str.title])(name)
    at = sorted(chance.sample(range(len(name) + 1), 2))
    parts = ["A photo of", " ", name[: at[0]], name[at[0] : at[1]], name[at[1] :], "."]
    return [token for part in parts if part for token in tokenizer(part, add_special_tokens=False).input_ids]


def test_nothing_forbidden_is_no_processor_at_all():
    assert guarded(SimpleNamespace(), Decoding(), [END]) is None


def test_a_real_language_model_with_beams_says_another_word():
    """A tiny random Llama that was given the name as its only wish, by transformers' own beam search."""
    from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor

    torch.manual_seed(0)
    words = ["<end>", " Bis", "cuit", " BISCUIT", " dog", " runs", "s", "."]
    size = {"vocab_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    lm = LlamaForCausalLM(LlamaConfig(**size)).eval()

    class Wish(LogitsProcessor):
        def __call__(self, input_ids, scores):
            scores[:, 3] += 5
            last = input_ids[:, -1] if input_ids.shape[1] else torch.zeros(scores.shape[0])
            scores[:, 1] += 4
            scores[last == 1, 2] += 20
            return scores

    text_of = lambda tokens: "".join(words[int(t)] for t in tokens if int(t))
    tokenizer = SimpleNamespace(batch_decode=lambda sequences, **_: [text_of(tokens) for tokens in sequences])

    def said(decoding):
        processors = [Wish(), *(guarded(tokenizer, decoding, [END]) or [])]
        out = lm.generate(
            inputs_embeds=torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(1)),
            logits_processor=processors, num_beams=3, num_return_sequences=3, max_new_tokens=8, do_sample=False,
            eos_token_id=END, pad_token_id=END,
        )  # fmt: skip
        return tokenizer.batch_decode(out)

    assert any("biscuit" in text.lower() for text in said(Decoding()))
    texts = said(Decoding(forbidden=("Biscuit",)))
    assert len(texts) == 3 and not any(NameRule(("Biscuit",)).broken_by(t) for t in texts)

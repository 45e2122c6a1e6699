"""Answers learned as branches of one tree cost what they cost alone; the tiny model here is a random Llama, no download."""

import pytest

torch = pytest.importorskip("torch")

from myvlm_engine.pocket.tree import collate, grow_tree  # noqa: E402


class Words:
    """A tokenizer of single characters: enough to grow trees."""

    def __call__(self, text, add_special_tokens=False):
        return type("Encoding", (), {"input_ids": [ord(c) % 97 for c in text]})


@pytest.fixture(scope="module")
def lm():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    return LlamaForCausalLM(config).eval()


def losses(lm, batch):
    embeds = lm.get_input_embeddings()(batch.ids.clamp(min=0))
    bias = torch.zeros(batch.mask[:, None].shape).masked_fill(~batch.mask[:, None], torch.finfo(torch.float32).min)
    hidden = lm.model(inputs_embeds=embeds, attention_mask=bias, position_ids=batch.position, use_cache=False).last_hidden_state
    logits = lm.lm_head(hidden.flatten(0, 1)[batch.rows])
    return torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")


ANSWERS = {"Describe.": ["A dog runs.", "Two dogs."], "What?": ["a dog", "it"]}


@torch.no_grad()
def test_a_branch_costs_what_it_costs_alone(lm):
    root = [5, 6, 7, 8]
    together = losses(lm, collate([grow_tree(Words(), root, ANSWERS), grow_tree(Words(), root[:2], {"Why?": ["so"]})]))
    alone = [losses(lm, collate([grow_tree(Words(), root, {p: [a]})])) for p, answers in ANSWERS.items() for a in answers]
    alone.append(losses(lm, collate([grow_tree(Words(), root[:2], {"Why?": ["so"]})])))
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_targets_know_their_answer():
    batch = collate([grow_tree(Words(), [1], ANSWERS), grow_tree(Words(), [1], {"Why?": ["so"]})])
    lengths = torch.bincount(batch.answers)
    end = len("<|im_end|>")
    assert lengths.tolist() == [len(a) + end for answers in ANSWERS.values() for a in answers] + [len("so") + end]


def test_no_token_sees_a_sibling_or_the_future():
    tree = grow_tree(Words(), [1, 2], {"Q": ["ab", "cd"]})
    mask = tree.mask()
    assert not mask.triu(1).any()
    first, second = (torch.tensor(tree.node) == n for n in (2, 3))
    assert not mask[second][:, first].any()

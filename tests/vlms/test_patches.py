"""Qwen-VL's patches as one product: the same numbers as the convolution that its files hold."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from vlms.tiny import FAMILIES  # noqa: E402

from myvlm_engine.vlms.base import load_vlm  # noqa: E402
from myvlm_engine.vlms.catalog import parsed  # noqa: E402
from myvlm_engine.vlms.loading import from_folder  # noqa: E402
from myvlm_engine.vlms.patches import FlatPatches, flatten_patches  # noqa: E402


class Tower(nn.Module):
    def __init__(self, convolution):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = convolution


@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_the_convolution(bias):
    convolution = nn.Conv3d(3, 8, (2, 4, 4), (2, 4, 4), bias=bias)
    tower, patches = Tower(convolution), torch.randn(5, 3, 2, 4, 4)
    flatten_patches(tower)
    assert isinstance(tower.patch_embed.proj, FlatPatches) and (tower.patch_embed.proj.bias is not None) == bias
    torch.testing.assert_close(tower.patch_embed.proj(patches), convolution(patches).flatten(1), atol=1e-5, rtol=1e-5)
    assert tower.patch_embed.proj.weight.dtype == convolution.weight.dtype and not tower.patch_embed.proj.weight.requires_grad


@pytest.mark.parametrize("more", [{"stride": (2, 2, 2)}, {"stride": (2, 4, 4), "padding": 1}, {"stride": (2, 4, 4), "dilation": 2}])
def test_patches_that_overlap_are_left_alone(more):
    tower = Tower(nn.Conv3d(3, 8, (2, 4, 4), **more))
    flatten_patches(tower)
    assert isinstance(tower.patch_embed.proj, nn.Conv3d)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2.5-vl", "qwen3-vl"])
def test_a_model_sees_with_it_what_it_sees_without(tmp_path, photos, family):
    vlm = load_vlm(FAMILIES[family].save(tmp_path))
    see = lambda: vlm.views(photos[:1])[0].state.features.pooled[0]
    plain = see()
    flatten_patches(vlm.model)
    assert isinstance(vlm.model.model.visual.patch_embed.proj, FlatPatches)
    torch.testing.assert_close(see(), plain, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("device, flat", [("cpu", False), ("cuda:0", True)])
def test_only_a_gpu_gets_it(tmp_path, monkeypatch, device, flat):
    """Without a GPU the model is put on the CPU all the same."""
    import transformers as t

    plain = t.AutoModelForImageTextToText.from_pretrained
    monkeypatch.setattr(t.AutoModelForImageTextToText, "from_pretrained", lambda folder, device_map, **more: plain(folder, **more))
    wanted = parsed(FAMILIES["qwen3-vl"].save(tmp_path))
    model, _ = from_folder(wanted, tmp_path, device, {})
    assert isinstance(model.model.visual.patch_embed.proj, FlatPatches) == flat

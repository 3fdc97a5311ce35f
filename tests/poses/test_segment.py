"""Masks by a network, with a tiny one of random weights: shapes, boxes and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.poses.grabcut import Box
from recon.poses.segment import SamConfig, Segmenter

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers", reason="needs recon[diffusion]")
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    folder = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    vision = transformers.SamVisionConfig(
        hidden_size=16, output_channels=16, num_hidden_layers=1, num_attention_heads=2, image_size=64, patch_size=8,
        window_size=4, global_attn_indexes=[0], mlp_dim=16, num_pos_feats=8,
    )  # fmt: skip
    prompt = transformers.SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4)
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=8
    )
    config = transformers.SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompt.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    transformers.SamModel(config).save_pretrained(folder)
    sizes = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    transformers.SamProcessor(SamImageProcessorPil(**sizes)).save_pretrained(folder)
    return folder


def test_a_mask_has_the_size_of_the_photo_and_stays_in_its_box(checkpoint: Path) -> None:
    segmenter = Segmenter(SamConfig(checkpoint=checkpoint), CPU)
    rgb = np.random.default_rng(0).integers(0, 255, (45, 60, 3)).astype(np.uint8)
    try:
        mask = segmenter.cut_out(rgb, Box(0.1, 0.2, 0.8, 0.9), "a.png")
    except ReconError as error:  # random weights may see nothing
        assert "no object found" in str(error)
        pytest.fail("choose another seed: the network sees nothing")
    assert mask.shape == (45, 60) and set(np.unique(mask)) == {0, 255}
    outside = mask.copy()
    outside[9:40, 6:48] = 0
    assert not outside.any()
    assert np.array_equal(mask, segmenter.cut_out(rgb, Box(0.1, 0.2, 0.8, 0.9), "a.png"))


def test_a_missing_checkpoint_is_named_with_the_command_that_gets_it(tmp_path: Path) -> None:
    with pytest.raises(ReconError, match=r"hf download facebook/sam-vit-base"):
        Segmenter(SamConfig(checkpoint=tmp_path / "nowhere"), CPU)

"""Randomly initialised models of a few thousand weights, saved as `save_pretrained` does: real classes, no download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'recon[diffusion]'")
transformers = pytest.importorskip("transformers", reason="transformers is missing: pip install 'recon[diffusion]'")

_WORDS = ["<|startoftext|>", "<|endoftext|>", "a", "p", "h", "o", "t", "a</w>", "p</w>", "t</w>", "o</w>"]


def save_depth_model(folder: Path, estimation: str = "relative") -> Path:
    """A Depth Anything of 32 x 32 patches."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            patch_size=14,
            reassemble_hidden_size=16,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            head_hidden_size=8,
            depth_estimation_type=estimation,
            max_depth=10 if estimation == "metric" else 1,
        )
    )
    model.save_pretrained(folder)
    DPTImageProcessor(size={"height": 42, "width": 42}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


def text_parts(folder: Path) -> dict[str, object]:
    """A CLIP text encoder with eleven tokens, and its tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(_WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(_WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, max_position_embeddings=16,
    )  # fmt: skip
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    return {"text_encoder": CLIPTextModel(text), "tokenizer": tokenizer}


def unet(channels: int = 4, out: int = 4) -> object:
    """A conditional U-Net of two levels."""
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=channels, out_channels=out, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip


def vae() -> object:
    """An autoencoder that divides sides by 2."""
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=[8, 8], latent_channels=4, norm_num_groups=4, sample_size=32,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip


def save_normals_pipeline(folder: Path) -> Path:
    """A Marigold that guesses normals."""
    pipeline = diffusers.MarigoldNormalsPipeline(
        unet=unet(8), vae=vae(), scheduler=diffusers.DDIMScheduler(), **text_parts(folder / "words"),
        default_processing_resolution=32,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def save_stable_diffusion(folder: Path, prediction: str = "epsilon") -> Path:
    """A whole Stable Diffusion; its autoencoder has the skip connections that Difix's has."""
    pipeline = diffusers.StableDiffusionPipeline(
        unet=unet(), vae=vae(),
        scheduler=diffusers.DDPMScheduler(prediction_type=prediction, steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False, **text_parts(folder / "words"),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def add_skips(folder: Path, value: float) -> Path:
    """Give the autoencoder of a saved Stable Diffusion skip connections whose weights are all `value`."""
    from safetensors.torch import load_file, save_file

    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    for stage in (1, 2):
        weights[f"decoder.skip_conv_{stage}.weight"] = torch.full((8, 8, 1, 1), value)
    save_file(weights, path)
    return folder


def save_controlnet(folder: Path) -> Path:
    """A ControlNet for `unet()`."""
    torch.manual_seed(0)
    diffusers.ControlNetModel(
        block_out_channels=(8, 16), layers_per_block=1, in_channels=4, cross_attention_dim=16, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=4,
        conditioning_embedding_out_channels=(8, 16),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_animate_diff(folder: Path) -> Path:
    """AnimateDiff with a motion adapter of two levels."""
    torch.manual_seed(0)
    motion = diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=2,
        motion_max_seq_length=32,
    )  # fmt: skip
    pipeline = diffusers.AnimateDiffVideoToVideoPipeline(
        unet=unet(), vae=vae(), motion_adapter=motion, scheduler=diffusers.DDIMScheduler(beta_schedule="linear"),
        **text_parts(folder / "words"),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder

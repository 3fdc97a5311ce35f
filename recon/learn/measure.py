"""What the small prior does to pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from recon.evaluate.image import psnr
from recon.learn.pairs import Pairs
from recon.priors.small.network import Restorer
from recon.priors.small.objective import right_pixels
from recon.priors.small.sampling import restore
from recon.render.image_loss import l1_ssim


@torch.no_grad()
def measure(network: Restorer, pairs: Sequence[Pairs], steps: int = 1) -> dict[str, Any]:
    """Means over all pictures of `pairs`: PSNR and SSIM of render and repaired, dB, and what happened to right pixels.

    `right_share` of all pixels are right already (`right_pixels`); `right_change` is what happens to their PSNR, dB.
    """
    rows, right = [], torch.zeros(3, dtype=torch.float64)
    for one in pairs:
        for k in range(len(one.layers)):
            layers = torch.from_numpy(one.layers[k]).float()[None] / 255
            truth = torch.from_numpy(one.truth[k]).float() / 255
            restored = restore(network, layers, steps)
            render, made = layers[0, :3], restored.gated(layers[:, :3])[0]
            row = [one.photos, float(one.stage[k])]
            for image in (render, made, restored.image[0]):
                a, b = image.permute(1, 2, 0).contiguous(), truth.permute(1, 2, 0).contiguous()
                row += [psnr(a, b), 1 - float(l1_ssim(a, b, None, 1.0))]
            rows.append(row)
            good = right_pixels((render - truth).abs().mean(0)[None, None])[0, 0]
            for i, image in enumerate((render, made)):
                right[i] += float((image - truth).square().mean(0)[good].double().sum())
            right[2] += int(good.sum())
    table = torch.tensor(rows, dtype=torch.float64)
    names = ("psnr_before", "ssim_before", "psnr", "ssim", "psnr_ungated", "ssim_ungated")
    result: dict[str, Any] = {name: float(table[:, 2 + i].mean()) for i, name in enumerate(names)}
    result["gain"] = result["psnr"] - result["psnr_before"]
    for low, high in ((3, 4), (5, 6), (7, 9)):
        chosen = (table[:, 0] >= low) & (table[:, 0] <= high) & (table[:, 1] == 1)
        if bool(chosen.any()):
            result[f"gain_{low}_to_{high}_photos"] = float((table[chosen, 4] - table[chosen, 2]).mean())
    before, after = (-10 * math.log10(max(float(right[i] / right[2].clamp_min(1)), 1e-10)) for i in range(2))
    result |= {"right_share": float(right[2]) / sum(p.truth[:, 0].size for p in pairs), "right_change": after - before}
    return result

"""One fused step of Adam."""

from __future__ import annotations

from torch import Tensor

from recon.render import gpu
from recon.render.library import core, kernels, pointer


def adam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    first_lr: float | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-15,
    visible: Tensor | None = None,
) -> None:
    """Update `param` and both moments in place, in one pass over memory, on the CPU or a GPU.

    param, grad, exp_avg, exp_avg_sq: [N, ...], contiguous, one dtype.   step: from 1, for the bias correction.
    first_lr: the rate of column 0 of a `param` [N, K, ...] where it is another than that of the others.
    visible: [N] bool; rows that are False keep parameter and moments. None updates all.
    Source: Kingma & Ba 2015, algorithm 1; epsilon is added outside the root, as in torch.optim.Adam.
    """
    for name, tensor in (("grad", grad), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        if tensor.shape != param.shape or tensor.dtype != param.dtype:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} {tensor.dtype}; param is {tuple(param.shape)} {param.dtype}"
            )
    for name, tensor in (("param", param), ("grad", grad), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        if not tensor.is_contiguous():
            raise ValueError(f"{name} is not contiguous")
    if first_lr is not None and param.ndim < 2:
        raise ValueError(f"first_lr is for columns; param is {tuple(param.shape)}")
    if param.numel() == 0:
        return
    rows = param.shape[0] if param.ndim else 1
    if visible is not None and (visible.shape != (rows,) or visible.element_size() != 1):
        raise ValueError(f"visible is {tuple(visible.shape)} {visible.dtype}; expected ({rows},) bool")
    mask = None if visible is None else visible.contiguous()
    columns = param.numel() // rows
    native = core.f32 if param.is_cuda else kernels(param)
    args = native.AdamArgs(
        rows=rows, columns=columns, head=0 if first_lr is None else columns // param.shape[1], learning_rate=lr,
        head_rate=first_lr or 0.0, beta1=beta1, beta2=beta2, epsilon=eps, correction1=1 - beta1**step,
        correction2=1 - beta2**step, parameter=pointer(param), gradient=pointer(grad), exp_avg=pointer(exp_avg),
        exp_avg_sq=pointer(exp_avg_sq), visible=pointer(mask),
    )  # fmt: skip
    if param.is_cuda:
        gpu.adam(args, param)
    else:
        native.adam(args)

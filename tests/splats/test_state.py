from __future__ import annotations

import torch
from splat_states import FAMILY, gaussians, state_of

from recon.splats.families.family import take
from recon.splats.state import TrainState


def test_every_photo_comes_once_per_round() -> None:
    state = state_of(1)
    rounds = [[state.next_photo(7) for _ in range(7)] for _ in range(20)]
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 10


def test_rows_move_together() -> None:
    state = TrainState.create(FAMILY, gaussians(6), extent=1.0, seed=0)
    state.stats = {"count": torch.arange(6.0)}
    for name in state.params:
        state.exp_avg[name] += 1
    mask = torch.tensor([True, False, True, True, False, True])
    wanted = take(state.params, mask)
    state.keep(mask)
    assert len(state) == 4
    assert state.stats["count"].tolist() == [0, 2, 3, 5]
    for name, value in state.params.items():
        assert torch.equal(value, wanted[name]) and value.requires_grad and value.is_leaf

    state.append(take(state.params, torch.tensor([0, 1])), {"count": torch.tensor([8.0, 9.0])})
    assert state.stats["count"].tolist() == [0, 2, 3, 5, 8, 9]
    state.append(take(state.params, torch.tensor([0])))
    assert state.stats["count"].tolist() == [0, 2, 3, 5, 8, 9, 0]
    for name, value in state.exp_avg.items():
        assert value[:4].eq(1).all() and value[4:].eq(0).all()
        assert value.shape == state.params[name].shape

    rows = take(state.params, torch.tensor([3]))
    state.write(torch.tensor([1]), rows)
    for name, value in state.params.items():
        assert torch.equal(value.detach()[1], rows[name][0])
        assert state.exp_avg[name][1].eq(0).all() and state.exp_avg[name][0].eq(1).all()

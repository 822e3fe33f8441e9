"""Held-out figures and the contact sheet, from pictures whose answers are known."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from train_samples import SIDE, flat, fringed

from engines.train.validation import validate


def unchanged(planes):
    return planes


def test_doing_nothing_gains_nothing():
    samples = np.stack([fringed(60), fringed(8), flat(90)])
    result = validate(unchanged, [samples], device="cpu")
    assert result.gains == {"gain_strong_db": 0, "gain_weak_db": 0, "identity_db": 80}
    assert result.loss > 0


def test_truth_itself_has_no_loss():
    result = validate(unchanged, [np.stack([flat(20), flat(200)])], device="cpu")
    without = result.gains
    assert result.loss < validate(unchanged, [np.stack([fringed(5)])], device="cpu").loss
    assert without == {"gain_strong_db": None, "gain_weak_db": None, "identity_db": 80}


def test_loss_is_the_mean_over_samples_of_all_sets():
    one, other = np.stack([fringed(60)]), np.stack([fringed(8)] * 3)
    losses = [validate(unchanged, [samples], device="cpu").loss for samples in (one, other)]
    both = validate(unchanged, [one, other], device="cpu")
    assert both.loss == pytest.approx((losses[0] + 3 * losses[1]) / 4)
    assert len(both.psnr) == 4


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (5, 1), (9, 2), (40, 4)])
def test_sheet_has_two_columns_of_input_output_and_truth(count, rows):
    sheet = validate(unchanged, [np.stack([flat(99)] * count)], device="cpu").sheet()
    assert sheet.shape == (rows * SIDE, 2 * 3 * SIDE, 3)


def test_sheet_of_sets_of_different_sizes_is_cut_to_the_smallest():
    large = np.stack([fringed(60)])
    planes = large[:, :, :SIDE][..., :64, :64]
    small = np.concatenate([planes, np.full((1, 2, 32, 64), 128, np.uint8)], axis=2)
    sheet = validate(unchanged, [large, small], device="cpu").sheet()
    assert sheet.shape == (64, 2 * 3 * 64, 3)
    left, right = sheet[:, : 3 * 64], sheet[:, 3 * 64 :]
    assert abs(left.astype(int) - right).max() <= 1
    assert left[:, :128].std() > 10 * left[:, 128:].std()  # fringes in two of three

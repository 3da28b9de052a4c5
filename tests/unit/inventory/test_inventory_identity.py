"""One glacier, one id."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely

from core.inventory.identity import position_ids, resolve


def table(n: int, **columns: list[object]) -> pd.DataFrame:
    base: dict[str, list[object]] = {"src_date": [None] * n, "glac_name": [None] * n}
    return pd.DataFrame({**base, **columns}, dtype=object)


def boxes(*lon: float) -> np.ndarray:
    return np.array([shapely.box(x, 60, x + 0.01, 60.01) for x in lon], dtype=object)


def test_a_position_id_looks_like_a_glims_id() -> None:
    got = position_ids(np.array([7.654, -121.851, -0.0001, np.nan]), np.array([46.789, -48.785, 0.0, 1.0]))
    assert got.tolist() == ["NOID-G007654E46789N", "NOID-G238149E48785S", "NOID-G000000E00000N", "NOID-UNPLACED"]


def test_an_exact_copy_is_collapsed_and_the_fuller_row_stays() -> None:
    ids = np.array(["A", "A", "B"], dtype=object)
    got = resolve(table(3, glac_name=[None, "Easton", None]), ids, boxes(1, 1, 2))
    assert got.keep.tolist() == [False, True, True]
    assert [(n.kind, n.row) for n in got.notes] == [("duplicate", 0)]


def test_a_copy_whose_ring_starts_elsewhere_is_still_a_copy() -> None:
    ring = boxes(1)[0]
    turned = shapely.Polygon(np.roll(shapely.get_coordinates(ring)[:-1], 2, axis=0))
    got = resolve(table(2), np.array(["A", "A"], dtype=object), np.array([ring, turned], dtype=object))
    assert got.keep.sum() == 1


def test_two_outlines_under_one_id_are_both_kept_whatever_their_order() -> None:
    dates = [pd.Timestamp(2015, 1, 1).date(), pd.Timestamp(2003, 1, 1).date()]
    for order in ([0, 1], [1, 0]):
        got = resolve(
            table(2, src_date=[dates[i] for i in order]), np.array(["A", "A"], dtype=object), boxes(1, 2)[order]
        )
        assert got.keep.all()
        assert dict(zip(got.ids, [dates[i] for i in order], strict=True)) == {"A": dates[1], "A#2": dates[0]}


def test_a_number_that_is_taken_is_not_given_again() -> None:
    got = resolve(table(3), np.array(["A", "A", "A#2"], dtype=object), boxes(1, 2, 3))
    assert sorted(got.ids) == ["A", "A#2", "A#3"]


def test_one_outline_under_two_ids_is_kept_and_noted() -> None:
    got = resolve(table(2), np.array(["A", "B"], dtype=object), boxes(1, 1))
    assert got.keep.all()
    assert [n.kind for n in got.notes] == ["same_outline"]


def test_rows_without_geometry_are_never_copies_of_one_another() -> None:
    got = resolve(table(2), np.array(["A", "A"], dtype=object), np.array([None, None], dtype=object))
    assert got.keep.all()
    assert sorted(got.ids) == ["A", "A#2"]

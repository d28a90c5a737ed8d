"""Where nets look: maps of the right class, judged against masks, and areas compared alike."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.datasets import people
from helpers.datasets.cifar10 import CLASSES
from helpers.datasets.imageset import ImageSet, Splits
from helpers.methods.attention import grad_cam, score_cam
from helpers.methods.statistics import Interval
from helpers.network.models import build
from helpers.network.signatures import to_input
from helpers.network.training import Trained
from helpers.series import looks
from helpers.series.looks import (
    AREA,
    CENTRE,
    EDGES,
    ENERGY,
    IOU,
    POINTING,
    POST,
    RANDOM,
    SCORE_CAM,
    UNTRAINED,
    Grouping,
    Looks,
    alike_between_seeds,
    areas,
    between_seeds,
    by_kind,
    by_people,
    by_score,
    ceiling,
    compared,
    drawn,
    energy_lost,
    faithful,
    flat_share,
    for_both,
    larger,
    larger_by_way,
    less,
    look,
    mean_over_both,
    on_scenes,
    p_over_nets,
    paired,
    photographs,
    said,
    same_maps,
    scrambled,
    share_that_agree,
    some_of,
    some_rows,
    surest,
    truth,
    with_score_cam,
)
from helpers.settings import Settings

SIDE, COUNT = 16, 12


def pictures(count=COUNT, masks=False, classes="abc", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ImageSet(
        images=torch.randint(0, 256, (count, SIDE, SIDE, 3), generator=generator).byte(),
        labels=torch.arange(count) % len(classes),
        classes=tuple(classes),
        table=pd.DataFrame({"official_index": range(count)}),
        name="noise",
        key=f"noise {count} {seed}",
        masks=corner(count) if masks else None,
    )


def corner(count):
    """The upper left quarter."""
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    masks[:, : SIDE // 2, : SIDE // 2] = True
    return masks


def net(seed=0):
    card = {"model": "ResNet20", "seed": seed, "options": {}}
    return Trained(build("ResNet20", 3, seed).eval(), None, card, [])


@pytest.fixture(scope="module")
def seen():
    return look(net(), pictures(masks=True))


def made_up(count=60, sure=None, right=None, area=None, masks=None, maps=None):
    """Looks without a net: scores, which images are right, and maps as given."""
    images = pictures(count, masks=masks is not None)
    sure = torch.full((count,), 0.9) if sure is None else sure
    right = torch.ones(count, dtype=torch.bool) if right is None else right
    predicted = torch.where(right, images.labels, (images.labels + 1) % 3)
    scores = ((1 - sure) / 2)[:, None].repeat(1, 3)
    scores[torch.arange(count), predicted] = sure
    if maps is None:
        maps = torch.rand(count, 4, 4, generator=torch.Generator().manual_seed(1))
    return Looks(None, images, scores.log(), {POST: maps})


# Looking


def test_maps_are_of_the_predicted_class_and_the_same_in_any_batch(seen, monkeypatch):
    pixels = to_input(seen.images.images)
    assert torch.equal(seen.predicted, seen.run.model(pixels).argmax(1))
    whole = grad_cam(seen.run.model, pixels, seen.predicted)
    assert torch.allclose(seen.maps[POST], whole, atol=1e-5)
    monkeypatch.setattr(looks, "BATCH", 5)
    assert torch.allclose(look(seen.run, seen.images).maps[POST], whole, atol=1e-5)


def test_of_like_maps_the_first_stands_for_all(seen):
    # The logits are a linear layer of means, so these are Grad-CAM.
    assert list(seen.maps) == [POST, "Grad-CAM++", "LayerCAM", "Eigen-CAM"]
    one = torch.rand(5, 3, 3)
    maps = {"a": one, "b": 7 * one, "c": -one, "d": one + 0.01 * torch.rand(5, 3, 3), "e": 2 * one}
    assert same_maps(maps) == {"b": "a", "e": "a"}


def test_right_sure_and_predicted():
    right = torch.arange(60) % 2 == 0
    one = made_up(sure=torch.linspace(0.4, 0.9, 60), right=right)
    assert torch.equal(one.right, right)
    assert torch.allclose(one.sure, torch.linspace(0.4, 0.9, 60))


def test_score_cam_is_made_for_the_rows_asked_for_and_kept(seen):
    some = with_score_cam(seen, torch.tensor([7, 2]))
    pixels = to_input(seen.images.images[[2, 7]])
    theirs = score_cam(seen.run.model, pixels, seen.predicted[[2, 7]])
    assert torch.allclose(some.maps[SCORE_CAM][[2, 7]], theirs, atol=1e-5)
    made = ~some.maps[SCORE_CAM].isnan().any(-1).any(-1)
    assert made.nonzero().flatten().tolist() == [2, 7]
    more = with_score_cam(some, torch.tensor([0]))
    assert torch.equal(more.maps[SCORE_CAM][[2, 7]], some.maps[SCORE_CAM][[2, 7]])
    assert SCORE_CAM not in seen.maps


def test_rows():
    flags = torch.tensor([False, True, True, False, True])
    assert set(some_of(flags, 2).tolist()) < {1, 2, 4}
    assert some_of(flags, 9).tolist() == [1, 2, 4]
    one = made_up(60, sure=torch.linspace(0.9, 0.4, 60))
    assert surest(one, torch.arange(60) >= 20, 3).tolist() == [20, 21, 22]
    rows = some_rows(one.images, 25)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 25
    assert rows.tolist() != list(range(25))
    assert some_rows(one.images, 100).tolist() == list(range(60))


def test_on_scenes_the_runs_own_nets_look(seen, tmp_path):
    data = Splits(*[seen.images] * 4)
    settings = Settings(data_dir=tmp_path, cache_dir=tmp_path)
    scenes, nets = on_scenes(data, [seen], None, settings)
    assert scenes is seen.images
    assert nets == [seen]


# Intervals


def test_a_mean_over_both_leaves_nan_out():
    values = [torch.tensor([1.0, math.nan, 3.0]), torch.tensor([2.0, 2.0, 5.0])]
    assert mean_over_both(values, 0).value == pytest.approx(2.5)
    assert math.isnan(mean_over_both([torch.full((3,), math.nan)], 0).value)


def test_one_net_is_judged_over_images_and_several_over_both():
    generator = torch.Generator().manual_seed(0)
    values = [torch.rand(400, generator=generator) + k / 2 for k in range(3)]
    alone, all_three = mean_over_both(values[:1], 0), mean_over_both(values, 0)
    assert alone.high - alone.low == pytest.approx(4 * 0.29 / 20, rel=0.2)
    # Seeds half apart: their t-interval is far wider than that over images.
    assert all_three.high - all_three.low > 2
    same = mean_over_both(values[:1] * 3, 0)
    assert same.high - same.low == pytest.approx(alone.high - alone.low)
    assert for_both([1.0], alone) is alone


def test_the_best_rival_is_that_of_the_mean_over_nets():
    found = [
        {"ours": torch.ones(4), "a": torch.zeros(4), "b": torch.full((4,), 0.4)},
        {"ours": torch.ones(4), "a": torch.full((4,), 0.9), "b": torch.full((4,), 0.4)},
    ]
    rival, lead = paired(found, "ours", ("a", "b"))
    assert rival == "a"
    assert [x.mean().item() for x in lead] == pytest.approx([1, 0.1])
    assert paired(found, "ours", ("a", "b"), most=False)[0] == "b"


def test_a_rival_known_for_few_images_is_compared_on_these():
    ours = torch.tensor([1.0, 1, 0, 0])
    found = [{"ours": ours, "a": torch.tensor([0.9, 0.9, 0.2, 0.2]), "b": torch.zeros(4)}]
    # "b" is below on the first two; its mean over them is the highest of all.
    found[0]["b"] = torch.tensor([0.95, 0.95, math.nan, math.nan])
    assert paired(found, "ours", ("a", "b"))[0] == "a"


def test_one_estimate_less_another():
    apart = less(Interval(3, 2, 5, 9), Interval(1, 0, 3, 9))
    assert apart.value == 2
    assert apart.low == pytest.approx(2 - math.hypot(1, 2))
    assert apart.high == pytest.approx(2 + math.hypot(2, 1))


# Truth


def test_a_map_on_the_object_hits_it_and_one_beside_it_does_not(seen):
    maps = torch.zeros(COUNT, 4, 4)
    maps[:6, :2, :2] = 1
    maps[6:, 2:, 2:] = 1
    found = truth(seen._replace(maps={POST: maps}))
    assert found[POINTING][POST].tolist() == [1] * 6 + [0] * 6
    # Enlarging spreads a map over the border of the mask.
    assert found[ENERGY][POST][:6].min() > 0.75 > 0.25 > found[ENERGY][POST][6:].max()
    assert found[IOU][POST][:6].min() > 0.7
    assert found[IOU][POST][6:].max() < 0.1


def test_controls_are_there_and_maps_not_made_are_nan(seen):
    found = truth(with_score_cam(seen, torch.tensor([3])))
    for measure in found.values():
        assert {CENTRE, EDGES, UNTRAINED, POST, SCORE_CAM} <= set(measure)
        assert measure[SCORE_CAM].isnan().sum() == COUNT - 1
        assert not measure[CENTRE].isnan().any()
    assert found[POINTING][CENTRE].dtype == torch.float64


def test_the_untrained_net_is_asked_about_the_same_class(seen):
    run = Trained(build("ResNet20", 3, 5).eval(), None, seen.run.card, [])
    theirs = drawn(seen._replace(run=run))[UNTRAINED]
    assert torch.allclose(theirs, drawn(seen)[POST], atol=1e-4)


def test_deletion_and_insertion_of_the_rows_asked_for(seen):
    rows = torch.tensor([1, 4, 5])
    curves = faithful(seen, rows, 3)
    assert set(curves) == {"deletion", "insertion"}
    scores = seen.logits.softmax(1)[rows].amax(1)
    for way in (POST, CENTRE, EDGES, RANDOM, UNTRAINED):
        assert torch.allclose(curves["deletion"][way].scores[:, 0], scores, atol=1e-4)
        assert torch.allclose(curves["insertion"][way].scores[:, -1], scores, atol=1e-4)
    again = faithful(seen, rows, 3)
    assert torch.equal(curves["deletion"][RANDOM].scores, again["deletion"][RANDOM].scores)


def test_scrambling_begins_at_the_top_and_ends_with_no_likeness_to_the_weights(seen):
    found = scrambled(seen, torch.arange(4), 0)
    assert next(iter(found)) == "logits"
    assert list(found)[-1] == "conv1"
    assert all(x.shape == (4,) for x in found.values())
    assert found["logits"].abs().mean() < 0.9
    assert found["conv1"].mean().abs() < 0.5


def test_another_seed_is_asked_about_the_same_class(seen):
    twin, other = seen, look(net(1), seen.images)
    rows = torch.arange(6)
    same = between_seeds([seen, twin], rows)
    assert torch.allclose(same[0, 1], torch.ones(6).double(), atol=1e-3)
    apart = between_seeds([seen, other, twin], rows)
    assert torch.equal(apart[0, 1], apart[1, 0])
    assert apart[0, 1].mean() < 0.99
    assert apart[range(3), range(3)].isnan().all()
    assert math.isnan(alike_between_seeds(between_seeds([seen], rows), 0).value)


def test_pairs_of_seeds_share_seeds():
    means = torch.tensor([[math.nan, 0.88, 0.87], [0.88, math.nan, 0.92], [0.87, 0.92, math.nan]])
    found = means[:, :, None].repeat(1, 1, 50).double()
    interval = alike_between_seeds(found, 0)
    assert interval.value == pytest.approx(0.89)
    # As if pairs were independent: 0.857 to 0.923.
    assert interval.low < 0.8
    assert math.isnan(alike_between_seeds(found[:2, :2], 0).low)


def test_no_map_of_such_cells_lies_wholly_on_the_object(seen):
    whole = seen._replace(maps={POST: torch.rand(COUNT, SIDE, SIDE)})
    assert ceiling(whole) == pytest.approx(1)
    assert 0.5 < ceiling(seen._replace(maps={POST: torch.rand(COUNT, 2, 2)})) < 1


# Areas


def test_areas_by_definition_and_method(seen):
    found = areas(seen)
    assert len(found) == 3
    assert all(set(by_way) == set(seen.maps) for by_way in found.values())


def test_as_the_post_grouped_within_class_and_size():
    masks = corner(60)
    masks[::2, :, : SIDE // 4] = False
    one = made_up(60, sure=torch.linspace(0.4, 0.95, 60), masks=masks)
    one = one._replace(images=pictures(60))
    alone = by_score(one)
    assert torch.equal(alone.apparent, one.sure > 0.7)
    assert torch.equal(alone.strata, one.images.labels)
    sized = ImageSet(**{**vars(one.images), "masks": masks})
    crossed = by_score(one._replace(images=sized)).strata
    assert len(crossed.unique()) == 6
    assert len(torch.stack([crossed, one.images.labels]).unique(dim=1).T) == 6


def test_what_people_say_is_apparent(tmp_path):
    count = 40
    images = pictures(count, classes=CLASSES)
    one = made_up(count, sure=torch.linspace(0.4, 0.9, count))._replace(images=images)
    settings = Settings(dataset="cifar10", data_dir=tmp_path, cache_dir=tmp_path)
    assert by_people(one, settings) is None
    counts = np.zeros((10_000, 10), dtype=np.int64)
    counts[np.arange(10_000), np.arange(10_000) % 10] = 50
    counts[:10, 0] += 30
    np.save(tmp_path / people.COUNTS, counts)
    group = by_people(one, settings)
    assert group.apparent[1:10].sum() == 0
    assert group.apparent[10:].all()
    assert len(group.strata.unique()) > 10


def test_errors_are_compared_within_scores_of_errors(tmp_path):
    count = 200
    wrong = torch.arange(count) % 4 == 0
    sure = torch.where(wrong, torch.linspace(0.4, 0.6, count), torch.linspace(0.9, 0.99, count))
    images = pictures(count, classes=CLASSES)
    said_to_be = torch.where(wrong, (images.labels + 1) % 10, images.labels)
    one = Looks(None, images, sharp(sure, said_to_be), {})
    counts = np.zeros((10_000, 10), dtype=np.int64)
    counts[np.arange(10_000), np.arange(10_000) % 10] = 50
    np.save(tmp_path / people.COUNTS, counts)
    settings = Settings(dataset="cifar10", data_dir=tmp_path, cache_dir=tmp_path)
    strata = by_people(one, settings).strata
    assert one.right.sum() == 150
    assert len(strata[~one.right].unique()) > len(images.labels[wrong].unique())


def sharp(sure, predicted):
    """Logits of ten classes whose largest score is `sure`, of the class `predicted`."""
    scores = ((1 - sure) / 9)[:, None].repeat(1, 10)
    scores[torch.arange(len(sure)), predicted] = sure
    return scores.log()


def test_a_planted_difference_is_found_within_strata():
    generator = torch.Generator().manual_seed(0)
    strata = torch.randint(0, 4, (400,), generator=generator)
    apparent = torch.rand(400, generator=generator) < 0.2 + 0.15 * strata
    area = torch.rand(400, generator=generator) + strata
    group, everyone = Grouping(apparent, strata), torch.ones(400, dtype=torch.bool)
    none = larger([area], [group], [everyone], 0)
    assert none.low < 0 < none.high
    more = larger([area + apparent / 2], [group], [everyone], 0)
    assert more.low > 0.5
    three = [[area] * 3, [group] * 3, [everyone] * 3]
    # Nets that are alike add nothing to the interval over images.
    assert larger(*three, 0)[:3] == pytest.approx(none[:3])
    assert compared([area], [group], [everyone]) == (int(apparent.sum()), int((~apparent).sum()))
    p = p_over_nets([area], [group], [everyone])
    assert p_over_nets(*three) == pytest.approx(min(1, 2 * p))
    assert p_over_nets([area + apparent / 2], [group], [everyone]) < 1e-6
    few = everyone & (strata == 5)
    assert math.isnan(larger([area], [group], [few], 0).value)
    assert math.isnan(p_over_nets([area], [group], [few]))
    nine = (apparent & (apparent.cumsum(0) <= 9)) | (~apparent & (strata == strata[apparent][0]))
    assert math.isnan(larger([area], [group], [nine], 0).value)
    most = larger([area + 5.0 * apparent] * 3, [group] * 3, [everyone] * 3, 0)
    assert most.value == pytest.approx(1)
    assert most.high <= 1


def test_verdicts_are_of_errors_alone_and_corrected():
    count = 200
    apparent = torch.arange(count) % 2 == 0
    small = torch.zeros(count, 4, 4)
    small[:, 0, 0] = 1
    wide = torch.ones(count, 4, 4) - 1e-3 * torch.rand(count, 4, 4)
    maps = torch.where(apparent[:, None, None], wide, small)
    wrong = torch.arange(count) < 120
    one = made_up(count, right=~wrong, maps=maps)
    one = one._replace(maps={POST: maps, "reversed": maps.flip(0)})
    group = Grouping(apparent, torch.zeros(count, dtype=torch.int64))
    found = said(one, group)
    assert {found[name, POST] for name in looks.AREAS} == {1}
    assert {found[name, "reversed"] for name in looks.AREAS} == {-1}
    assert share_that_agree(found) == pytest.approx(2 / 5)
    assert said(made_up(count), group) == {}
    assert math.isnan(share_that_agree({}))


def test_what_is_not_told_apart_is_zero():
    one = made_up(80, right=torch.zeros(80, dtype=torch.bool))
    group = Grouping(torch.arange(80) % 2 == 0, torch.zeros(80, dtype=torch.int64))
    assert set(said(one, group).values()) == {0}
    assert share_that_agree(said(one, group)) == 1


def test_errors_by_the_posts_limit():
    sure = torch.linspace(0.4, 0.99, 60)
    one = made_up(60, sure=sure, right=torch.arange(60) % 3 > 0)
    parts = by_kind(torch.arange(60.0), one)
    assert [len(x) for x in parts.values()] == [
        int(((torch.arange(60) % 3 > 0) == kind)[(sure > 0.7) == how].sum())
        for kind in (False, True)
        for how in (True, False)
    ]


def test_photographs_are_looked_at_by_score_cam_too_where_the_net_errs(monkeypatch, tmp_path):
    settings, plan = Settings(data_dir=tmp_path, cache_dir=tmp_path), SimpleNamespace(score_cams=2)
    images = pictures()
    found = {"net": None}
    monkeypatch.setattr(looks, "photograph_net", lambda *asked: found["net"])
    assert photographs(plan, settings) is None
    found["net"] = net(), Splits(*[images] * 4)
    seen = photographs(plan, settings)
    made = ~seen.maps[SCORE_CAM].isnan().any(-1).any(-1)
    assert made.sum() == 2
    assert not seen.right[made].any()


def test_every_definition_and_method_is_compared(seen):
    sizes, group = [areas(seen)], [by_score(seen)]
    everyone = [torch.ones(COUNT, dtype=torch.bool)]
    found = larger_by_way(sizes, group, everyone, 0)
    assert set(found) == set(looks.AREAS)
    for name, by_way in found.items():
        assert set(by_way) == set(seen.maps)
        one = larger([sizes[0][name][POST]], group, everyone, 0)
        assert str(by_way[POST]) == str(one)


def test_energy_lost_where_it_errs_is_compared_within_class():
    count = 90
    right = torch.arange(count) % 2 > 0
    one = made_up(count, right=right)
    energy = one.images.labels / 3 + right / 10
    found = energy_lost([{POST: energy}], POST, [one], 0)
    assert found.value == pytest.approx(0.1, abs=1e-6)


def test_dark_maps_are_counted(seen):
    maps = seen.maps[POST].clone()
    maps[:3] = -1 - torch.rand(3, *maps.shape[1:])
    maps[3:] = torch.rand(COUNT - 3, *maps.shape[1:])
    assert flat_share(seen._replace(maps={POST: maps})) == pytest.approx(3 / COUNT)
    assert areas(seen._replace(maps={POST: maps}))[AREA][POST].isnan().sum() == 3

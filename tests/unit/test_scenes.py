"""Generated scenes: what the series takes for the truth must be true of the pictures."""

from itertools import combinations, permutations

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chi2_contingency

from helpers.datasets import scene_attributes, scene_draws, scene_painting
from helpers.datasets.imageset import counts, shrink
from helpers.datasets.scene_draws import keys, uniform
from helpers.datasets.scene_shapes import CODES, distance
from helpers.datasets.scenes import (
    BACKGROUNDS,
    FAMILIES,
    HELD_OUT,
    SHAPES,
    VARIANTS,
    family_labels,
    scenes,
)


@pytest.fixture(scope="module")
def plain():
    return scenes(500)


@pytest.fixture(scope="module")
def shortcut():
    return scenes(500, variant="shortcut")


def same(one, other):
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.masks, other.masks)
        and torch.equal(one.labels, other.labels)
        and one.table.equals(other.table.reset_index(drop=True))
    )


@pytest.mark.parametrize(("first", "count"), [(0, 100), (137, 1), (299, 201)])
def test_a_part_of_a_series_is_that_part(plain, first, count):
    part = plain.subset(range(first, first + count), "part")
    assert same(scenes(count, first=first), part)


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_bytes_and_other_seed_other_bytes(variant):
    state = torch.get_rng_state()
    one = scenes(30, seed=5, variant=variant)
    assert same(one, scenes(30, seed=5, variant=variant))
    other = scenes(30, seed=6, variant=variant)
    assert (one.images != other.images).float().mean() > 0.8
    assert torch.equal(torch.get_rng_state(), state)


def test_thread_count_changes_nothing(plain):
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert same(scenes(100), plain.subset(range(100), "part"))
    finally:
        torch.set_num_threads(threads)


def test_coordinates_off_by_a_rounding_error_move_a_pixel_by_a_grey_level(monkeypatch, plain):
    exact = scene_painting._turned
    monkeypatch.setattr(
        scene_painting, "_turned", lambda s, x, y: exact(s, x * (1 + 3e-7), y + 1e-7)
    )
    moved = scenes(500).images.int() - plain.images.int()
    assert 0 < moved.abs().max() <= 1


def test_classes_are_balanced(plain):
    assert plain.classes == SHAPES
    assert counts(plain).tolist() == [50] * 10
    assert counts(scenes(60, held_out=True)).tolist() == [10] * 6
    assert [SHAPES[k] for k in plain.labels] == plain.table["shape"].tolist()


def test_masks_have_the_area_the_table_says_and_lie_inside_the_frame():
    found = scenes(200, size=96)
    asked = torch.pi * torch.tensor(found.table["size"].to_numpy()) ** 2
    ratio = found.masks.float().mean((1, 2)) / asked
    assert ((ratio - 1).abs() < 0.06).all()
    edge = torch.ones(96, 96, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert not found.masks[:, edge].any()


def test_masks_are_centred_where_the_table_says(plain):
    mask = plain.masks.float()
    steps = (torch.arange(32) + 0.5) / 32
    area = mask.sum((1, 2))
    x = (mask.sum(1) @ steps) / area - torch.tensor(plain.table["x"].to_numpy())
    y = (mask.sum(2) @ steps) / area - torch.tensor(plain.table["y"].to_numpy())
    assert torch.stack([x, y]).abs().max() < 0.05


def grown(mask, by):
    return F.max_pool2d(mask[:, None].float(), 2 * by + 1, 1, by)[:, 0] > 0


@pytest.mark.parametrize("size", [32, 96])
def test_shortcut_changes_the_background_alone(size):
    plain, shortcut = (scenes(200, size=size, variant=name) for name in ("plain", "shortcut"))
    assert torch.equal(plain.masks, shortcut.masks)
    columns = [name for name in plain.table if name != "background"]
    assert plain.table[columns].equals(shortcut.table[columns])
    swapped = torch.tensor((plain.table.background != shortcut.table.background).to_numpy())
    differ = (plain.images != shortcut.images).any(3)
    inside, outside = ~grown(~plain.masks, 1), ~grown(plain.masks, 1)
    assert not differ[inside].any()
    assert not differ[~swapped].any()
    alike = (outside & ~differ).float().mean((1, 2))
    clutter = torch.tensor(plain.table["clutter"].to_numpy())
    bare, strewn = (alike[swapped & (clutter == number)].mean() for number in (0, 5))
    assert bare < 0.001
    assert strewn > 0.003  # the clutter stays where it was


def test_background_gives_the_class_away_in_shortcut_only(plain, shortcut):
    of_class = shortcut.table.groupby("shape").background.unique()
    assert all(len(kinds) == 1 for kinds in of_class)
    for background in BACKGROUNDS:
        pair = [shape for shape in SHAPES if of_class[shape][0] == background]
        assert len(pair) == 2
        assert len(set(family_labels(pair))) == 2
    table = scene_attributes.attributes(
        torch.arange(5000), torch.arange(5000), torch.arange(5000) % 10, 0, "plain"
    )
    for name, kinds in [("background", 5), ("colour_kind", 8), ("texture", 3), ("clutter", 6)]:
        crossed = torch.zeros(10, kinds)
        crossed.index_put_((table["shape"], table[name]), torch.ones(5000), accumulate=True)
        assert chi2_contingency(crossed).pvalue > 0.001
        assert crossed.sum(0).min() > 0.85 * 5000 / kinds


def test_families_share_no_shape_and_held_out_shapes_are_new():
    held_out = [shape for pair in HELD_OUT.values() for shape in pair]
    assert [len(FAMILIES[name]) for name in FAMILIES] == [4, 3, 3]
    assert [len(HELD_OUT[name]) for name in FAMILIES] == [2, 2, 2]
    assert len({*SHAPES, *held_out}) == 16
    assert scenes(6, held_out=True).classes == tuple(held_out)
    assert family_labels(SHAPES) == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert family_labels(held_out) == [0, 0, 1, 1, 2, 2]
    assert family_labels(["star", "disc"]) == [2, 0]
    with pytest.raises(ValueError, match="'dog'"):
        family_labels(["dog"])


def test_shapes_differ_and_are_distances():
    steps = torch.linspace(-1.6, 1.6, 161)
    x, y = steps[None, :], steps[:, None]
    held_out = [shape for pair in HELD_OUT.values() for shape in pair]
    fields = {name: distance(name, x, y) for name in [*SHAPES, *held_out]}
    for one, other in combinations(fields.values(), 2):
        assert ((one < 0) != (other < 0)).float().mean() * 3.2**2 > 0.15
    for field in fields.values():
        slope = torch.hypot(*torch.gradient(field, spacing=0.02))
        edge = (field.abs() < 0.05)[1:-1, 1:-1]
        assert 0.85 < slope[1:-1, 1:-1][edge].median() < 1.1


def test_no_two_codes_are_nearer_than_others():
    codes = torch.tensor(CODES)
    apart = (codes[:, None] != codes).sum(2)
    assert torch.equal(apart, 8 - 8 * torch.eye(10, dtype=torch.long))
    pairs = list(combinations(range(6), 2))
    place = {frozenset(pair): number for number, pair in enumerate(pairs)}
    number_of = {code: number for number, code in enumerate(CODES)}
    reached = set()  # by the pair of classes (0, 1), when the six points change places
    for order in permutations(range(6)):
        cells = [place[frozenset((order[a], order[b]))] for a, b in pairs]
        one, other = (tuple(CODES[k][cell] for cell in cells) for k in (0, 1))
        reached.add((number_of[one], number_of[other]))
    assert len(reached) == 10 * 9


def test_tiles_without_misprints_are_equally_far_apart(monkeypatch):
    steps = torch.linspace(-1, 1, 400)
    across, down = steps.expand(10, 1, 400), steps[:, None].expand(10, 400, 1)
    code = torch.cat([torch.tensor(CODES), torch.zeros(10, 1, dtype=torch.long)], 1)
    painted = scene_painting._windows(
        code, across.expand(10, 400, 400), down.expand(10, 400, 400), torch.tensor(0.01)
    )
    apart = (painted[:, None] - painted).abs().mean((2, 3))[~torch.eye(10, dtype=torch.bool)]
    assert apart.min() > 0
    assert apart.max() - apart.min() < 0.01 * apart.mean()


def test_the_best_classifier_of_tiles_confuses_all_pairs_equally():
    flipped, codes = scene_attributes.FLIPPED, torch.tensor(CODES)
    words = (torch.arange(2**15)[:, None] >> torch.arange(15)) & 1
    wrong = (words[:, None] != codes).sum(2).double()
    likely = flipped**wrong * (1 - flipped) ** (15 - wrong)
    posterior = likely / likely.sum(1, keepdim=True)
    confused = (likely.T @ posterior)[~torch.eye(10, dtype=torch.bool)]
    torch.testing.assert_close(confused, confused.mean().expand(90))


def test_tiles_are_misprinted_as_often_as_said():
    labels = torch.arange(4000) % 10
    tile = scene_attributes._tile(keys(0, "code", torch.arange(4000)), labels, torch.zeros(1))
    wrong = tile["code"][:, :15] != torch.tensor(CODES)[labels]
    assert abs(wrong.float().mean() - scene_attributes.FLIPPED) < 0.01
    assert set(scenes(20, variant="no-families").table["shape"]) == {"tile"}


def test_a_larger_picture_shows_the_same_scene():
    small, large = scenes(20), shrink(scenes(20, size=224), 32)
    pairs = torch.stack([small.images, large.images]).double().flatten(2)
    together = [torch.corrcoef(pairs[:, k])[0, 1] for k in range(20)]
    assert min(together) > 0.93
    assert (small.masks != large.masks).float().mean() < 0.01
    assert small.table.equals(large.table)


def test_views_show_one_individual_in_several_places():
    found = scenes(120, views=4)
    assert torch.equal(found.labels[::4].repeat_interleave(4), found.labels)
    grouped = found.table.groupby("individual")
    assert (grouped.size() == 4).all()
    who = ["shape", "colour", "hue", "texture", "size"]
    where = ["x", "y", "rotation", "light", "view"]
    assert (grouped[who].nunique() == 1).all(axis=None)
    assert (grouped[where].nunique() == 4).all(axis=None)
    assert grouped["background"].nunique().mean() > 2
    assert found.table.individual.nunique() == 30


def test_key_tells_scenes_apart_and_devices_together():
    changes = [{"count": 11}, {"size": 17}, {"seed": 1}, {"first": 1}, {"views": 2}]
    changes += [{"variant": "shortcut"}, {"held_out": True}, {}]
    made = [scenes(**{"count": 10, "size": 16} | change).key for change in changes]
    assert len(set(made)) == len(made)
    assert scenes(10, size=16, device=torch.device("cpu")).key == made[-1]


def test_mixing_is_splitmix64():
    """The first output that its authors' program gives for the seed 0."""
    mixed = scene_draws._mix(torch.tensor([scene_draws._GOLDEN]))
    assert mixed.item() % 2**64 == 0xE220A8397B1DCDAF


def test_draws_are_uniform_and_unrelated():
    index = torch.arange(20_000)
    draws = torch.cat(
        [uniform(keys(seed, "view", index), 3) for seed in (0, 1)]
        + [uniform(keys(0, "clutter", index), 3), uniform(keys(0, "view", index + 1), 3)],
        dim=1,
    )
    assert 0 <= draws.min() < draws.max() < 1
    assert torch.allclose(draws.mean(0), torch.tensor(0.5), atol=0.01)
    assert torch.allclose(draws.var(0), torch.tensor(1 / 12), atol=0.002)
    related = torch.corrcoef(draws.T) - torch.eye(12)
    assert related.abs().max() < 0.03
    assert keys(0, "view", index).unique().numel() == 20_000


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"count": 0}, "count .* 0"),
        ({"count": 2.5}, "count .* 2.5"),
        ({"count": 5, "size": 15}, "size .* 16"),
        ({"count": 5, "first": -1}, "first .* -1"),
        ({"count": 5, "views": 0}, "views .* 0"),
        ({"count": 5, "seed": "a"}, "seed .* 'a'"),
        ({"count": 5, "variant": "hard"}, "'hard'.*plain, shortcut, no-families"),
        ({"count": 5, "variant": "shortcut", "held_out": True}, "held-out"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        scenes(**wrong)

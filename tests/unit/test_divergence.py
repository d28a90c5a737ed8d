import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import divergence
from helpers.methods.divergence import (
    bootstrap_divergence,
    class_profiles,
    confusion_distance,
    divergence_maps,
    hellinger,
    js_divergence,
    js_of_scores,
    shuffled,
    symmetric_kl,
    total_variation,
)
from helpers.methods.statistics import resampled_means

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
MEASURES = [js_divergence, symmetric_kl, hellinger, total_variation]
BOUNDED = [js_divergence, hellinger, total_variation]
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
double = torch.float64


def draw(count, width, seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(count, width, generator=generator, dtype=double)).softmax(1)


@st.composite
def matrices(draw_):
    count, width = draw_(st.integers(2, 6)), draw_(st.sampled_from([2, 3, 10, 70]))
    # Small whole numbers: many zeros, and rows that differ do so visibly.
    row = st.lists(st.integers(0, 5), min_size=width, max_size=width).filter(any)
    return torch.tensor(draw_(st.lists(row, min_size=count, max_size=count)), dtype=double)


# All pairs of rows


@steady
@given(matrices())
def test_measures_are_symmetric_bounded_and_zero_where_rows_are_equal(P):
    shares = P / P.sum(1, keepdim=True)
    equal = (shares[:, None] - shares).abs().amax(-1) < 1e-12
    for measure in MEASURES:
        result = measure(P)
        assert torch.equal(result, result.T)
        assert (result.diagonal() == 0).all()
        assert (result[~equal] > 1e-6).all()
        assert result[equal].max() < 1e-7
    for measure in BOUNDED:
        assert measure(P).min() >= 0
        assert measure(P).max() <= 1 + 1e-12


@steady
@given(matrices(), st.floats(1e-200, 1e200))
def test_the_scale_of_a_row_does_not_matter(P, scale):
    for measure in MEASURES:
        assert torch.allclose(measure(P * scale, P), measure(P, P), atol=1e-7)
        assert torch.allclose(measure(P * scale), measure(P), atol=1e-7)


@steady
@given(matrices())
def test_distances_obey_the_triangle_inequality(P):
    for distance in (js_divergence(P).sqrt(), hellinger(P), total_variation(P)):
        detour = (distance[:, :, None] + distance[None]).amin(1)
        assert (distance <= detour + 1e-7).all()


@steady
@given(matrices(), st.randoms(use_true_random=False))
def test_order_of_rows_and_of_columns_does_not_matter(P, random):
    rows = random.sample(range(len(P)), len(P))
    columns = random.sample(range(P.shape[1]), P.shape[1])
    for measure in MEASURES:
        again = measure(P[rows][:, columns])
        assert torch.allclose(again, measure(P)[rows][:, rows], atol=1e-7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("count", "width"), [(513, 10), (3, 3), (77, 32), (35, 33), (33, 1003)])
def test_equal_rows_have_divergence_zero_exactly(count, width, dtype, device):
    P = draw(count, width).to(device, dtype)
    assert (js_divergence(P).diagonal() == 0).all()
    assert (js_divergence(P, P).diagonal() == 0).all()
    assert (js_divergence(P[-1:], P)[0, -1] == 0).all()
    assert (js_divergence(P[:1].expand(count, -1)) == 0).all()
    assert js_divergence(P).device.type == device


@pytest.mark.parametrize("width", [10, 100, 3000])
def test_single_precision_is_close_to_double(width):
    P = draw(30, width)
    assert (js_divergence(P.float()).double() - js_divergence(P)).abs().max() < 1e-6


@pytest.mark.parametrize("padding", [0, 100])
def test_tiny_numbers_count(padding):
    rows = [[1e-300, 0, 0], [5e-324, 0, 0], [1e-300, 1e-300, 0], [0, 0, 1], [1, 1e-300, 0]]
    P = torch.nn.functional.pad(torch.tensor(rows, dtype=double), (0, padding))
    result = js_divergence(P)
    half = 1.5 - 0.75 * math.log2(3)  # of [1, 0] and [1/2, 1/2]
    assert result[0].tolist() == pytest.approx([0, 0, half, 1, 0], abs=1e-12)
    assert symmetric_kl(P)[0, 3] == math.inf


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("width", [4, 70])
@pytest.mark.parametrize("nothing", [0.0, math.nan])
def test_a_row_without_mass_is_nan_and_leaves_the_others_alone(measure, width, nothing):
    P = draw(4, width)
    whole = measure(P)
    P[2] = nothing
    others, result = [0, 1, 3], measure(P)
    assert result[2].isnan().all()
    assert result[:, 2].isnan().all()
    assert torch.equal(result[others][:, others], whole[others][:, others])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("wrong", [-1e-9, math.nan, math.inf, -math.inf])
def test_what_no_distribution_holds_is_an_error(measure, wrong):
    P, Q = draw(3, 4), draw(3, 4)
    Q[1, 2] = wrong
    with pytest.raises(ValueError, match="a row holds"):
        measure(Q)
    with pytest.raises(ValueError, match="a row holds"):
        measure(P, Q)


def test_shapes_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="give \\(N, D\\)"):
        js_divergence(torch.ones(3))
    with pytest.raises(ValueError, match="equally long"):
        js_divergence(torch.ones(3, 4), torch.ones(3, 5))
    assert js_divergence(torch.ones(0, 4), torch.ones(2, 4)).shape == (0, 2)


@pytest.mark.parametrize("width", [4, 70])
@pytest.mark.parametrize("measure", MEASURES)
def test_measures_do_not_mind_autograd(measure, width):
    P = draw(40, width)
    plain, learnt = measure(P), measure(P.clone().requires_grad_())
    with torch.inference_mode():
        within = [measure(P), measure(P.clone())]
    assert not learnt.requires_grad
    assert all(torch.equal(plain, found) for found in (learnt, *within))


def test_streamed_profiles_do_not_mind_autograd():
    assert torch.equal(js_of_scores(SCORES.clone().requires_grad_()), js_of_scores(SCORES))


def test_counts_and_half_floats_are_taken_and_nothing_given_is_changed():
    P = torch.tensor([[3, 1, 0], [0, 0, 4]])
    kept = P.clone()
    assert js_divergence(P).dtype == torch.float32
    assert js_divergence(P.half())[0, 1] == 1
    assert torch.equal(P, kept)


# Confusion


def test_confusion_distance_counts_both_directions():
    matrix = torch.tensor([[8, 2, 0], [1, 3, 0], [0, 0, 5]])
    half = 1 - (0.2 + 0.25) / 2
    wanted = torch.tensor([[0, half, 1], [half, 0, 1], [1, 1, 0]])
    assert torch.allclose(confusion_distance(matrix), wanted)
    absent = confusion_distance(torch.tensor([[2, 2], [0, 0]]))
    assert absent.isnan().tolist() == [[False, True], [True, True]]
    with pytest.raises(ValueError, match="rows true"):
        confusion_distance(torch.ones(2, 3))


# Profiles

SCORES = torch.tensor([[0.8, 0.2, 0.0], [0.4, 0.6, 0.0], [0.0, 0.2, 0.8], [0.0, 0.0, 1.0]])


def test_profiles_both_ways():
    over_images = torch.tensor([[2 / 3, 1 / 3, 0, 0], [0.2, 0.6, 0.2, 0], [0, 0, 4 / 9, 5 / 9]])
    assert torch.allclose(class_profiles(SCORES), over_images)
    labels = torch.tensor([0, 0, 3, 3])
    over_classes = class_profiles(SCORES, labels, classes=4, over="classes")
    assert torch.allclose(over_classes[0], torch.tensor([0.6, 0.4, 0.0]))
    assert torch.allclose(over_classes[3], torch.tensor([0.0, 0.1, 0.9]))
    assert over_classes[1:3].isnan().all()


def test_a_class_without_mass_has_a_profile_of_nan():
    scores = SCORES.clone()
    scores[:, 1] = 0
    assert class_profiles(scores)[1].isnan().all()
    empty = [[False, True, False], [True, True, True], [False, True, False]]
    assert js_divergence(class_profiles(scores)).isnan().tolist() == empty
    assert js_of_scores(scores).isnan().tolist() == empty
    assert bootstrap_divergence(scores, resamples=1)[0, 1].isnan().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "classes"}, "a label for each of the 4"),
        ({"groups": torch.zeros(3), "over": "classes"}, "a label for each of the 4"),
        ({"groups": torch.tensor([0, 1, 2, 3]), "over": "classes"}, "3 classes run from 0 to 2"),
        ({"groups": torch.zeros(4), "over": "classes"}, "float32: give each image's class"),
        ({"groups": torch.tensor([0, 1, 2, -1]), "over": "classes"}, "labels from -1"),
        ({"over": "pixels"}, "'images' or 'classes'"),
    ],
)
def test_profiles_say_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        class_profiles(SCORES, **options)


@pytest.mark.parametrize("use", [class_profiles, js_of_scores, bootstrap_divergence])
@pytest.mark.parametrize("wrong", [math.nan, -0.1, math.inf])
def test_scores_that_are_none_are_errors(use, wrong):
    scores = SCORES.clone()
    scores[3] = wrong
    with pytest.raises(ValueError, match="hold"):
        use(scores)
    with pytest.raises(ValueError, match="at least one image"):
        use(scores[:0])


@pytest.mark.parametrize("dtype", [torch.float32, double])
def test_streamed_profiles_never_hold_more_than_a_block(monkeypatch, dtype):
    block, classes = 50, 4
    held = []

    def recorded(function):
        def call(tensor, *rest):
            # What lies behind the tensor counts, not only what it shows.
            held.append((function.__name__, tensor.untyped_storage().nbytes()))
            return function(tensor, *rest)

        return call

    for name in ("_js_sums", "_entropy"):
        monkeypatch.setattr(divergence, name, recorded(getattr(divergence, name)))
    scores = draw(10 * block - 7, classes).to(dtype)
    streamed = js_of_scores(scores, block)
    assert [name for name, _ in held].count("_js_sums") == 10
    assert max(size for _, size in held) <= block * classes * double.itemsize
    assert torch.allclose(streamed, js_divergence(class_profiles(scores)), rtol=0, atol=1e-6)


# Several nets, and nets that know nothing


@pytest.mark.parametrize("labels", [None, torch.arange(60) % 3])
def test_a_map_of_each_net_in_their_order(labels):
    nets = [draw(60, 3, seed) for seed in range(4)]
    maps = divergence_maps(nets, labels)
    over = "images" if labels is None else "classes"
    assert maps.shape == (4, 3, 3)
    for scores, found in zip(nets, maps, strict=True):
        assert torch.equal(found, js_divergence(class_profiles(scores, labels, over=over)))
    assert not torch.allclose(maps[0], maps[1])
    assert torch.equal(divergence_maps(torch.stack(nets), labels), maps)


def test_maps_of_what_are_no_scores_are_errors():
    scores = draw(60, 3)
    with pytest.raises(ValueError, match="a label for each of the 60"):
        divergence_maps([scores], torch.zeros(59))
    with pytest.raises(ValueError, match="run from 0 to 2"):
        divergence_maps([scores], torch.full((60,), 3))
    with pytest.raises(ValueError, match="negative"):
        divergence_maps([scores, -scores])
    labels = torch.zeros(60, dtype=torch.int64)
    labels[0] = 1
    assert divergence_maps([scores], labels)[0, 2].isnan().all()


@steady
@given(matrices(), st.integers(0, 99))
def test_shuffled_rows_keep_their_numbers(P, seed):
    kept, state = P.clone(), torch.get_rng_state()
    found = shuffled(P, seed)
    assert torch.equal(found.sort(1).values, P.sort(1).values)
    assert found.dtype == P.dtype
    assert torch.equal(shuffled(P, seed), found)
    assert torch.equal(P, kept)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("device", DEVICES)
def test_shuffled_scores_are_of_random_classes(device):
    classes, n = 5, 5000
    scores = draw(n, classes)
    labels = scores.argmax(1)
    found = shuffled(scores.to(device), seed=1)
    assert found.device.type == device
    assert torch.equal(found.cpu(), shuffled(scores, seed=1))
    assert not torch.equal(found.cpu(), shuffled(scores, seed=2))
    # Each of the classes as often as any other, whatever the class was: 1,000 give or take 150.
    moved = torch.zeros(classes, classes).index_put_(
        (labels, found.cpu().argmax(1)), torch.ones(n), accumulate=True
    )
    shares = moved / moved.sum(1, keepdim=True)
    assert (shares - 1 / classes).abs().max() < 0.07
    both = torch.stack([scores.flatten(), found.cpu().flatten()])
    assert torch.corrcoef(both)[0, 1].abs() < 0.04
    columns = torch.corrcoef(found.cpu().T)[~torch.eye(classes, dtype=torch.bool)]
    assert columns.max() - columns.min() < 0.1


# Bootstrap


@pytest.mark.parametrize("over", ["images", "classes"])
def test_a_bootstrap_is_fixed_by_its_seed_in_whatever_batches(over, monkeypatch):
    scores, labels = draw(60, 3), torch.arange(60) % 3
    first = bootstrap_divergence(scores, labels, over, resamples=50, seed=1)
    assert first.shape == (50, 3, 3)
    assert torch.equal(first, first.mT)
    assert (first.diagonal(dim1=1, dim2=2) == 0).all()
    assert not torch.equal(first, bootstrap_divergence(scores, labels, over, 50, seed=2))
    monkeypatch.setattr("helpers.methods.statistics.CELLS", 60 * 7)
    again = bootstrap_divergence(scores, labels, over, resamples=50, seed=1)
    assert torch.allclose(first, again, rtol=0, atol=1e-12)


def test_the_resamples_are_those_of_resampled_means():
    scores = draw(60, 3)
    labels = torch.zeros(60, dtype=torch.int64)
    labels[30:] = 1
    masses = scores[:, :, None] * torch.nn.functional.one_hot(labels, 3)[:, None]
    profiles = resampled_means(masses, resamples=5, seed=4).mT
    draws = bootstrap_divergence(scores, labels, "classes", resamples=5, seed=4)
    for each, profile in zip(draws, profiles, strict=True):
        assert torch.allclose(each, js_divergence(profile), atol=1e-12, equal_nan=True)


def test_a_class_that_a_resample_left_out_is_nan_there():
    scores, labels = draw(20, 2), torch.zeros(20, dtype=torch.int64)
    labels[0] = 1
    draws = bootstrap_divergence(scores, labels, "classes", resamples=200)
    left_out = draws[:, 0, 1].isnan().double().mean().item()
    assert left_out == pytest.approx((19 / 20) ** 20, abs=0.12)
    assert draws[:, 0, 0].eq(0).all()


def test_no_resamples_are_an_error():
    with pytest.raises(ValueError, match="resamples is 0: give at least 1"):
        bootstrap_divergence(SCORES, resamples=0)


def test_long_rows_are_compared_in_parts(monkeypatch):
    P = draw(5, 200)
    whole = js_divergence(P)
    monkeypatch.setattr(divergence, "CELLS", 25 * 9)
    assert torch.allclose(js_divergence(P), whole, rtol=0, atol=1e-14)


def test_a_bootstrap_of_several_nets_draws_the_same_images_for_each():
    scores = [draw(60, 4, seed).softmax(1) for seed in (1, 2)]
    found = divergence.bootstrap_maps(scores, 5, seed=3)
    assert found.shape == (2, 5, 4, 4)
    for own, each in zip(found, scores, strict=True):
        assert torch.equal(own, divergence.bootstrap_divergence(each, None, "images", 5, 3))


def test_maps_of_few_images_are_fixed_by_their_seed_and_come_near_with_more():
    scores = draw(500, 4).softmax(1).double()
    whole = divergence.js_divergence(divergence.class_profiles(scores))
    few, again = (divergence.maps_of_few(scores, 10, 30, seed=1) for _ in range(2))
    assert few.shape == (30, 4, 4)
    assert torch.equal(few, again)
    assert not torch.equal(few, divergence.maps_of_few(scores, 10, 30, seed=2))
    many = divergence.maps_of_few(scores, 400, 30, seed=1)
    assert (many - whole).abs().mean() < (few - whole).abs().mean() / 3

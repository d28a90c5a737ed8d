import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods.detection import auroc
from helpers.methods.rejection import (
    energy,
    entropy,
    from_layers,
    from_logits,
    generalised_entropy,
    mahalanobis,
    margin,
    max_logit,
    max_score,
    nearest_distance,
    vim,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
OF_SOFTMAX = [max_score, entropy, margin, generalised_entropy]
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
logit_rows = st.integers(2, 6).flatmap(
    lambda width: st.lists(st.floats(-40, 40), min_size=width, max_size=width)
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def net(count=400, width=8, classes=3, seed=0):
    """Arguments of `from_layers`: images in one class per direction, points of a linear layer."""
    labels = torch.arange(count) % classes
    fitted = draw(count, width, seed=seed) + 6 * torch.eye(classes, width)[labels]
    points = draw(60, width, seed=seed + 1) + 6 * torch.eye(classes, width)[labels[:60]]
    weight, bias = draw(classes, width, seed=9) / 9 + torch.eye(classes, width), draw(classes)
    return fitted, labels, fitted @ weight.T + bias, points, points @ weight.T + bias, weight, bias


# From logits


def test_scores_of_two_logits_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    root = 0.1875**0.1
    expected = {
        "maximum softmax": [0.25, 0.5],
        "maximum logit": [-math.log(3), 0],
        "energy": [-math.log(4), -math.log(2)],
        "entropy": [math.log(4) - 0.75 * math.log(3), math.log(2)],
        "margin": [0.5, 1],
        "generalised entropy": [2 * root, 2 * 0.25**0.1],
    }
    found = from_logits(logits)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == torch.float64
        assert found[name].tolist() == pytest.approx(values, abs=1e-7)


@pytest.mark.parametrize("score", OF_SOFTMAX)
def test_scores_do_not_tie_where_the_softmax_saturates(score):
    gaps = torch.arange(0, 700, 5.0)
    for others in (1, 9):
        logits = torch.cat([gaps[:, None], torch.zeros(len(gaps), others)], 1)
        found = score(logits)
        assert (found.diff() < 0).all()
        # Another net's logits may lie anywhere: only their differences count.
        assert torch.equal(score(logits - 2**20), found)


@pytest.mark.parametrize("score", OF_SOFTMAX)
def test_with_two_classes_scores_of_the_softmax_rank_alike(score):
    logits = 4 * draw(500, 2)
    order = (logits[:, 0] - logits[:, 1]).abs().argsort(descending=True)
    assert torch.equal(score(logits).argsort(), order)
    assert not torch.equal(max_logit(logits).argsort(), order)
    assert not torch.equal(energy(logits).argsort(), order)


@steady
@given(logit_rows)
def test_scores_are_what_the_softmax_says(row):
    logits = torch.tensor([row], dtype=torch.float64)
    p = logits.softmax(1)
    top = p.sort(1, descending=True).values[0]
    rest = torch.where(p < 0.5, 1 - p, p.sum() - p)
    assert max_score(logits).item() == pytest.approx(1 - top[0].item(), abs=1e-12)
    assert entropy(logits).item() == pytest.approx(torch.special.entr(p).sum().item(), abs=1e-12)
    assert margin(logits).item() == pytest.approx(1 - (top[0] - top[1]).item(), abs=1e-12)
    # A root magnifies what is lost of the rest of a score near 1.
    by_hand = (p * rest).pow(0.5).sum().item()
    assert generalised_entropy(logits, 0.5).item() == pytest.approx(by_hand, abs=1e-7)
    assert 0 <= max_score(logits).item() <= 1 - 1 / len(row) + 1e-12
    assert -1e-12 <= entropy(logits).item() <= math.log(len(row)) + 1e-12


def test_energy_and_maximum_logit_see_the_size_of_logits():
    logits = draw(9, 5)
    assert torch.allclose(energy(logits + 3), energy(logits) - 3)
    assert torch.allclose(max_logit(logits + 3), max_logit(logits) - 3)
    assert energy(torch.full((1, 2), 1e4)).item() == pytest.approx(-1e4 - math.log(2))


def test_generalised_entropy_of_the_largest_scores_only():
    logits = draw(20, 8)
    p = logits.softmax(1).sort(1, descending=True).values[:, :3]
    assert torch.allclose(generalised_entropy(logits, 0.2, 3), (p * (1 - p)).pow(0.2).sum(1))
    assert torch.equal(generalised_entropy(logits, top=8), generalised_entropy(logits))


# From the last hidden layer


@pytest.mark.parametrize("k", [1, 7, 50, 400])
def test_the_kth_nearest_by_hand(k):
    fitted, points = draw(50, 5), draw(20, 5, seed=1)
    directions = [each / each.norm(dim=1, keepdim=True) for each in (points, fitted)]
    far = (directions[0][:, None] - directions[1]).norm(dim=-1).sort(1).values
    found = nearest_distance(fitted, points, k)
    assert torch.allclose(found, far[:, min(k, 50) - 1])
    longer = nearest_distance(fitted * torch.rand(50, 1) * 9, points * 1e-200, k)
    assert torch.allclose(found, longer)


def test_distances_to_itself_and_of_nothing():
    fitted = draw(30, 4)
    points = torch.cat([fitted[:3], torch.zeros(1, 4)])
    assert nearest_distance(fitted, points, 1).tolist() == pytest.approx([0, 0, 0, 1], abs=1e-9)
    assert nearest_distance(torch.zeros(2, 4), points).tolist() == pytest.approx([1, 1, 1, 0])


def test_mahalanobis_by_hand():
    fitted, labels = draw(300, 4) @ draw(4, 4, seed=1) + 1000, torch.arange(300) % 3 * 2
    fitted = fitted + labels[:, None]
    points = draw(40, 4, seed=2) + 1002
    means = torch.stack([fitted[labels == each].mean(0) for each in (0, 2, 4)])
    within = fitted - means[labels // 2]
    inverse = torch.linalg.inv(within.T @ within / 300)
    apart = points[:, None] - means
    by_hand = torch.einsum("nkd,de,nke->nk", apart, inverse, apart).amin(1).sqrt()
    assert torch.allclose(mahalanobis(fitted, labels, points), by_hand, rtol=1e-3)
    assert mahalanobis(fitted, labels, means) == pytest.approx(torch.zeros(3), abs=1e-6)


def test_mahalanobis_does_not_hang_on_the_unit():
    fitted, labels, _, points, *_ = net()
    found = mahalanobis(fitted, labels, points)
    assert torch.allclose(mahalanobis(fitted * 1e-6, labels, points * 1e-6), found)


def test_mahalanobis_with_an_output_that_never_varies():
    fitted, labels, _, points, *_ = net()
    dead = torch.nn.functional.pad(fitted, (0, 2), value=1.0)
    asked = torch.nn.functional.pad(points, (0, 2), value=1.0)
    assert torch.allclose(
        mahalanobis(dead, labels, asked), mahalanobis(fitted, labels, points), rtol=1e-4
    )
    asked[0, -1] += 0.1
    found = mahalanobis(dead, labels, asked)
    assert found[0] > 10 * found[1:].max()


def test_vim_by_hand():
    fitted, _, fitted_logits, points, logits, weight, bias = net()
    rows, asked = (each + torch.linalg.pinv(weight) @ bias for each in (fitted, points))
    main = torch.linalg.svd(rows, full_matrices=False).Vh[:5]
    residuals = [(each - each @ main.T @ main).norm(dim=1) for each in (rows, asked)]
    scale = fitted_logits.amax(1).mean() / residuals[0].mean()
    found = vim(fitted, fitted_logits, points, logits, weight, bias, 5)
    assert torch.allclose(found, scale * residuals[1] - logits.logsumexp(1))
    half = vim(fitted, fitted_logits, points, logits, weight, bias, 4)
    assert torch.equal(vim(fitted, fitted_logits, points, logits, weight, bias), half)


def test_images_off_the_beaten_path_score_higher():
    fitted, labels, fitted_logits, points, logits, weight, bias = net(width=12)
    unseen = draw(80, 12, seed=3) + 6 * torch.eye(12)[7]
    known = from_layers(fitted, labels, fitted_logits, points, logits, weight, bias)
    outputs = unseen @ weight.T + bias
    unknown = from_layers(fitted, labels, fitted_logits, unseen, outputs, weight, bias)
    assert list(known) == ["k nearest", "Mahalanobis", "ViM"]
    for name, score in known.items():
        assert auroc(score, unknown[name]) > 0.95
    for name, score in from_logits(logits).items():
        assert auroc(score, from_logits(outputs)[name]) > 0.8


@pytest.mark.parametrize("device", DEVICES)
def test_results_stay_on_the_device_and_arguments_as_they_were(device):
    arguments = [each.float().to(device) for each in net()]
    arguments[1] = arguments[1].long()
    before = [each.clone() for each in arguments]
    found = from_layers(*arguments) | from_logits(arguments[4])
    assert {(each.device.type, each.dtype) for each in found.values()} == {(device, torch.float64)}
    assert all(map(torch.equal, arguments, before))
    exact = from_layers(*net()) | from_logits(net()[4])
    for name, score in found.items():
        assert torch.allclose(score.cpu(), exact[name], rtol=1e-4, atol=1e-4)


# What is refused


def of_vim(dimensions=None, **changed):
    names = ("fitted", "labels", "fitted_logits", "points", "logits", "weight", "bias")
    arguments = dict(zip(names, net(), strict=True)) | changed
    del arguments["labels"]
    return vim(**arguments, dimensions=dimensions)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: max_score(draw(4)), r"shape \(4,\): give \(N, C\), C at least 2"),
        (lambda: energy(draw(4, 1)), r"shape \(4, 1\)"),
        (lambda: margin(draw(0, 3)), r"shape \(0, 3\)"),
        (lambda: entropy(draw(4, 2) / 0), "logits hold NaN or infinity: leave those images out"),
        (lambda: generalised_entropy(draw(4, 2), 0), "gamma is 0, top 100: give 0 < gamma <= 1"),
        (lambda: generalised_entropy(draw(4, 2), top=0), "top 0: give"),
        (lambda: nearest_distance(draw(4, 3), draw(4, 2)), r"\(4, 3\) and \(4, 2\): give equally"),
        (lambda: nearest_distance(draw(4, 3), draw(4, 3), 0), "k is 0"),
        (lambda: nearest_distance(draw(4, 3), draw(4, 3) / 0), "points hold NaN or infinity"),
        (lambda: mahalanobis(draw(4, 3), torch.zeros(3), draw(4, 3)), r"\(3,\): give one per"),
        (lambda: mahalanobis(draw(4, 3), torch.arange(4), draw(4, 3)), "do not vary within"),
        (lambda: mahalanobis(draw(1, 3).repeat(9, 1), torch.zeros(9), draw(4, 3)), "do not vary"),
        (lambda: of_vim(8), "dimensions is 8: of 8 give from 1 to 7"),
        (lambda: of_vim(0), "dimensions is 0"),
        (lambda: of_vim(bias=draw(4)), r"\(400, 3\).*\(4,\)\]: give logits"),
        (lambda: of_vim(logits=draw(60, 3) * 9), "give as points what the last linear layer reads"),
        (lambda: of_vim(fitted=draw(400, 8).relu()), "from weight @ points"),
    ],
)
def test_what_cannot_be_done_says_what_can(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_vim_needs_images_that_leave_the_subspace():
    weight, bias = draw(3, 8), torch.zeros(3)
    flat = torch.nn.functional.pad(draw(90, 4), (0, 4))
    with pytest.raises(ValueError, match="within 4 dimensions: give fewer `dimensions`"):
        vim(flat, flat @ weight.T, flat, flat @ weight.T, weight, bias)
    assert vim(flat, flat @ weight.T, flat, flat @ weight.T, weight, bias, 3).isfinite().all()


def test_a_layer_of_mostly_dead_units_has_no_vim_but_its_other_scores():
    fitted, labels, _, points, _, weight, bias = net()
    alive = (torch.arange(fitted.shape[1]) < 3).double()
    fitted, points = fitted * alive, points * alive
    said = [each @ weight.T + bias for each in (fitted, points)]
    with pytest.raises(ValueError, match="fewer `dimensions`"):
        vim(fitted, said[0], points, said[1], weight, bias)
    found = from_layers(fitted, labels, said[0], points, said[1].float(), weight, bias)
    assert found["ViM"].isnan().all()
    assert found["ViM"].dtype == torch.float64
    assert found["k nearest"].isfinite().all()
    assert found["Mahalanobis"].isfinite().all()

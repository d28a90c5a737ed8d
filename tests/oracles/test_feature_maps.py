"""What channels are worth against scipy."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from helpers.methods.feature_maps import Silenced, lost_p

bits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


@settings(max_examples=50, deadline=None)
@given(bits)
def test_p_values_are_those_of_the_sign_test(pairs):
    right, whole = torch.tensor(pairs).T
    lost, gained = (whole & ~right).sum().item(), (right & ~whole).sum().item()
    expected = binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    found = lost_p(Silenced(right[None], whole))
    torch.testing.assert_close(found.item(), expected)

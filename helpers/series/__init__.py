"""The whole: the claims, the exercises, the plan of the notebooks, and what runs them."""

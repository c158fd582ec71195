"""The lesson on a real shop's next basket: its claims, on rows made here."""

from recflax.lessons import next_basket
from recflax.lessons.statements import by_name


def test_the_claim_is_about_new_items_and_over_starts() -> None:
    ahead = [{"network_new": new, "item_cf_new": 0.06} for new in (0.070, 0.072, 0.075)]
    statement = by_name(next_basket.claims(ahead))["retail-starts-new"]
    assert statement.holds
    assert statement.estimate.target == next_basket.STARTS
    behind = [row | {"item_cf_new": 0.08} for row in ahead]
    assert not by_name(next_basket.claims(behind))["retail-starts-new"].holds


def test_the_network_reads_a_hundred_items_and_knows_of_repetition() -> None:
    model = next_basket.network(13)
    assert (model.length, model.objective) == (100, "next_basket")
    assert model.config.n_items == 13
    assert model.config.repetition

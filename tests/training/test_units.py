import pytest

from narrows.errors import ConfigError
from narrows.training.units import from_published, to_published


def test_the_paper_s_weights_in_nats_per_token():
    assert from_published(1e6, 152_064) == pytest.approx(6.576, abs=5e-4)
    assert from_published(1e5, 152_064) == pytest.approx(0.6576, abs=5e-5)
    assert to_published(from_published(5e5, 152_064), 152_064) == pytest.approx(5e5)
    # The same pressure at another vocabulary is another published number.
    assert to_published(from_published(1e6, 152_064), 256_000) == pytest.approx(1e6 * 256_000 / 152_064)


def test_values_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="λ is -1"):
        from_published(-1, 10)
    with pytest.raises(ConfigError, match="vocabulary is 0"):
        to_published(1, 0)
